//! `release:`. Makes and pushes an annotated tag.

use crate::model::Node;

use super::settings::Reader;

/// The settings of `release`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Release {
    /// The tag's name.
    pub tag: String,
    /// The tag's message; none: "Release TAG".
    pub message: Option<String>,
}

impl Release {
    /// Reads the settings; what is wrong is reported, and then there is none.
    pub fn read(reader: &mut Reader<'_>, node: &Node) -> Option<Self> {
        let settings = reader.map("release", node, &["tag", "message"], &["tag"])?;
        let tag = settings.get("tag")?;
        let name = reader.text("tag", tag)?;
        if !reader.is_open(tag) && !is_tag(&name) {
            let help = Some("such as v1.4.0".to_owned());
            reader.refuse(tag, format!("\"{name}\" cannot be the name of a tag"), help);
            return None;
        }
        let message = settings.get("message").and_then(|node| reader.text("message", node));
        Some(Self { tag: name, message })
    }
}

/// Whether git takes it for a tag's name (git-check-ref-format).
fn is_tag(name: &str) -> bool {
    let part = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
    name.split('/').all(part)
        && !name.starts_with('-')
        && !name.ends_with('.')
        && name != "@"
        && !name.contains("..")
        && !name.contains("@{")
        && !name.chars().any(|letter| letter.is_control() || " ~^:?*[\\".contains(letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tags_are_those_that_git_takes() {
        for good in ["v1.4.0", "release/2026-11", "v1"] {
            assert!(is_tag(good), "{good}");
        }
        for bad in ["", "-v", "a b", "a..b", "a/", "/a", "a.lock", ".a", "a~1", "a:b", "a@{1}", "@", "a."] {
            assert!(!is_tag(bad), "{bad}");
        }
    }
}
