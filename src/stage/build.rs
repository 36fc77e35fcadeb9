//! `build:`. Builds a container image.

use crate::diagnostic::Diagnostic;
use crate::model::{Node, codes};

use super::settings::{Reader, Settings};

/// Keys that are read and wait for a later version.
const LATER: [&str; 4] = ["platforms", "cache", "sbom", "sign"];
const KEYS: [&str; 13] = [
    "context",
    "file",
    "target",
    "build-args",
    "labels",
    "secrets",
    "tags",
    "push",
    "credentials",
    "platforms",
    "cache",
    "sbom",
    "sign",
];

/// The settings of `build`.
#[derive(Debug, Clone, PartialEq)]
pub struct Build {
    /// The folder that is built, relative to the workspace.
    pub context: String,
    /// The Dockerfile, relative to the context.
    pub file: String,
    /// The Dockerfile's stage; none: its last.
    pub target: Option<String>,
    /// Arguments of the build.
    pub build_args: Vec<(String, String)>,
    /// Labels of the image.
    pub labels: Vec<(String, String)>,
    /// Secrets by their id.
    pub secrets: Vec<(String, String)>,
    /// Names of the image.
    pub tags: Vec<String>,
    /// Whether it is pushed.
    pub push: bool,
    /// Who pushes: name and password; none: the user's docker configuration.
    pub credentials: Option<(String, String)>,
}

impl Default for Build {
    fn default() -> Self {
        Self {
            context: ".".to_owned(),
            file: "Dockerfile".to_owned(),
            target: None,
            build_args: Vec::new(),
            labels: Vec::new(),
            secrets: Vec::new(),
            tags: Vec::new(),
            push: false,
            credentials: None,
        }
    }
}

impl Build {
    /// Reads the settings; what is wrong is reported, and then there is none.
    pub fn read(reader: &mut Reader<'_>, node: &Node) -> Option<Self> {
        if reader.is_open(node) {
            return Some(Self::default());
        }
        let settings = reader.map("build", node, &KEYS, &["tags"])?;
        reader.not_yet(&settings, &LATER);
        let mut build = Self::default();
        let text = |reader: &mut Reader<'_>, key| {
            settings.get(key).and_then(|node| reader.text(key, node)).filter(|text| !text.is_empty())
        };
        build.context = text(reader, "context").unwrap_or(build.context);
        build.file = text(reader, "file").unwrap_or(build.file);
        build.target = text(reader, "target");
        build.build_args = pairs(reader, &settings, "build-args");
        build.labels = pairs(reader, &settings, "labels");
        build.secrets = pairs(reader, &settings, "secrets");
        build.tags = tags(reader, &settings);
        build.push = settings.get("push").map_or(Some(false), |node| reader.boolean("push", node))?;
        if let Some(node) = settings.get("credentials") {
            let credentials = reader.map("credentials", node, &["username", "password"], &[])?;
            // Of a secret that is not there nothing is left: the dry run shows the rest all the same, and the run says so.
            let username = part(reader, &credentials, "username");
            let password = part(reader, &credentials, "password");
            build.credentials = Some((username?, password?));
        }
        Some(build)
    }
}

/// A part of the credentials; it may be empty, but it must be there.
fn part(reader: &mut Reader<'_>, credentials: &Settings<'_>, key: &str) -> Option<String> {
    match credentials.given(key) {
        Some(node) if node.is_null() => Some(String::new()),
        Some(node) => reader.text(key, node),
        None => {
            let message = format!("\"credentials\" needs the key \"{key}\"");
            reader.push(Diagnostic::error(codes::MISSING, credentials.span, message));
            None
        }
    }
}

fn pairs(reader: &mut Reader<'_>, settings: &Settings<'_>, key: &str) -> Vec<(String, String)> {
    settings.get(key).map(|node| reader.pairs(key, node)).unwrap_or_default()
}

/// Names of the image, each checked where it is written.
fn tags(reader: &mut Reader<'_>, settings: &Settings<'_>) -> Vec<String> {
    let Some(node) = settings.get("tags") else { return Vec::new() };
    let mut tags = Vec::new();
    for item in node.items().map_or_else(|| vec![node], |items| items.iter().collect()) {
        let Some(tag) = reader.text("tags", item) else { continue };
        if !tag.contains("${{")
            && let Err(why) = check_name(&tag)
        {
            reader.refuse(item, format!("\"{tag}\" is no name of an image: {why}"), None);
        }
        tags.push(tag);
    }
    if tags.is_empty() {
        reader.refuse(
            node,
            "\"tags\" is empty",
            Some("give the image a name, such as registry.local/app:1.0".to_owned()),
        );
    }
    tags
}

/// Why `name` cannot be an image's name with its tag.
fn check_name(name: &str) -> Result<(), String> {
    if name.contains('@') {
        return Err("the digest is known only when it is built; leave \"@\" and what follows out".to_owned());
    }
    let slash = name.rfind('/').map_or(0, |at| at + 1);
    let (repository, tag) = match name[slash..].split_once(':') {
        Some((last, tag)) => (format!("{}{last}", &name[..slash]), Some(tag)),
        None => (name.to_owned(), None),
    };
    if let Some(tag) = tag {
        let good = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        if tag.is_empty() || tag.len() > 128 || !tag.chars().all(good) || tag.starts_with(['.', '-']) {
            return Err(format!("\"{tag}\" is no tag (letters, digits, \"_\", \".\" and \"-\")"));
        }
    }
    // The first part may be a registry with its port.
    let (host, path) = match repository.split_once('/') {
        Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (Some(host), path),
        _ => (None, repository.as_str()),
    };
    if host.is_some_and(|host| !host.chars().all(|c| c.is_ascii_alphanumeric() || ".-:[]".contains(c))) {
        return Err("its registry is no name of a host".to_owned());
    }
    if path.chars().any(|c| c.is_ascii_uppercase()) {
        return Err(format!("capital letters are not allowed: \"{}\"", name.to_lowercase()));
    }
    let good = |part: &str| {
        let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        edge(part.chars().next())
            && edge(part.chars().next_back())
            && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c))
    };
    match path.split('/').find(|part| !good(part)) {
        Some(part) => {
            Err(format!("\"{part}\" is no part of one (small letters, digits, and \".\", \"_\", \"-\" within)"))
        }
        None => Ok(()),
    }
}
