//! Names of backups: `{date}-{time}.gz.enc`.

use crate::clock::Timestamp;

/// A name with holes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(String);

/// What fills the holes.
#[derive(Debug, Clone, Default)]
pub struct Values {
    /// When.
    pub at: Timestamp,
    /// The run.
    pub run: String,
    /// The commit.
    pub sha: String,
    /// The database.
    pub database: String,
}

const HOLES: [&str; 5] = ["{date}", "{time}", "{run}", "{sha}", "{database}"];
/// So many digits of a commit.
const SHA: usize = 12;

impl Template {
    /// Of this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The name for these values, UTC.
    pub fn fill(&self, values: &Values) -> String {
        let at = chrono::DateTime::from_timestamp_millis(values.at.0).unwrap_or_default();
        let sha: String = values.sha.chars().take(SHA).collect();
        self.0
            .replace("{date}", &at.format("%Y-%m-%d").to_string())
            .replace("{time}", &at.format("%H%M%S").to_string())
            .replace("{run}", &values.run)
            .replace("{sha}", &sha)
            .replace("{database}", &values.database)
    }

    /// The folder in which all names of it lie, with its `/`.
    pub fn folder(&self) -> &str {
        let fixed = self.0.find('{').map_or(self.0.as_str(), |at| &self.0[..at]);
        fixed.rfind('/').map_or("", |at| &fixed[..=at])
    }

    /// Whether `name` was made of it, for this database.
    pub fn matches(&self, name: &str, database: &str) -> bool {
        fits(&self.0, name, database)
    }
}

fn fits(template: &str, name: &str, database: &str) -> bool {
    let Some(hole) = HOLES.iter().find(|hole| template.starts_with(**hole)) else {
        let mut letters = template.chars();
        return match letters.next() {
            None => name.is_empty(),
            Some(letter) => name.strip_prefix(letter).is_some_and(|rest| fits(letters.as_str(), rest, database)),
        };
    };
    let rest = &template[hole.len()..];
    let digits = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    match *hole {
        "{date}" => name.get(..10).is_some_and(|date| {
            let mut parts = date.split('-');
            let sizes = [4, 2, 2];
            let right = sizes.iter().all(|size| parts.next().is_some_and(|part| part.len() == *size && digits(part)));
            right && parts.next().is_none() && fits(rest, &name[10..], database)
        }),
        "{time}" => name.get(..6).is_some_and(|time| digits(time) && fits(rest, &name[6..], database)),
        "{database}" => name.strip_prefix(database).is_some_and(|behind| fits(rest, behind, database)),
        _ => {
            let word = name.chars().take_while(char::is_ascii_alphanumeric).count();
            (1..=word).rev().any(|length| fits(rest, &name[length..], database))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Values {
        Values {
            at: Timestamp(1_795_658_730_000),
            run: "6avk".into(),
            sha: "0123456789abcdef".into(),
            database: "shop".into(),
        }
    }

    #[test]
    fn names_are_filled_and_known_again() {
        let template = Template::new("backups/{database}/{date}-{time}-{run}-{sha}.gz.enc");
        let name = template.fill(&values());
        assert_eq!(name, "backups/shop/2026-11-26-020530-6avk-0123456789ab.gz.enc");
        assert!(template.matches(&name, "shop"));
        assert!(!template.matches(&name, "other"), "another database's");
        assert!(!template.matches(&format!("{name}.json"), "shop"), "the manifest");
        assert_eq!(template.folder(), "backups/");
    }

    #[test]
    fn only_names_of_the_template_fit() {
        let template = Template::new("{date}.gz");
        assert!(template.matches("2026-11-26.gz", "shop"));
        for other in ["2026-11-6x.gz", "26-11-2026.gz", "notes.gz", "2026-11-26.gz.old", "é026-11-26.gz"] {
            assert!(!template.matches(other, "shop"), "{other}");
        }
    }
}
