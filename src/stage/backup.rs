//! `backup:`. Backs up a database.

use std::time::Duration;

use crate::model::Node;

use super::settings::{Reader, Settings};

/// Databases and things that are read and refused by name.
const LATER: [&str; 6] = ["mongodb", "mysql", "redis", "rabbitmq", "velero", "volume"];
/// Schemes of places that are read and refused by name.
const LATER_PLACES: [&str; 2] = ["azblob:", "gs:"];

/// The settings of `backup`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Backup {
    /// The database.
    pub postgres: Postgres,
    /// How the dump is made smaller.
    pub compress: Compress,
    /// The key, or a pass phrase; none: the user's key, else nothing is encrypted.
    pub encrypt: Option<String>,
    /// Where it goes: every one, or it failed.
    pub to: Vec<Target>,
    /// How it is verified beyond size, sha256 and decryption, which always are.
    pub verify: VerifyBackup,
}

/// A PostgreSQL database.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Postgres {
    /// Where it is, with user and password.
    pub uri: String,
    /// The pod in which the dump runs; none: where the stage runs.
    pub pod: Option<String>,
}

/// How a dump is made smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compress {
    /// By gzip.
    #[default]
    Gzip,
    /// By zstd.
    Zstd,
    /// Not beyond what the dump does itself.
    None,
}

impl Compress {
    /// As the file spells it.
    pub fn name(self) -> &'static str {
        match self {
            Compress::Gzip => "gzip",
            Compress::Zstd => "zstd",
            Compress::None => "none",
        }
    }
}

/// A place for backups.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Target {
    /// `s3:`, `file:` or a folder, with `{date}`, `{time}`, `{run}`, `{sha}` and `{database}` in the name.
    pub url: String,
    /// How long backups of this name are kept; none: for ever.
    pub keep: Option<Duration>,
}

/// How a backup is verified beyond what always is.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum VerifyBackup {
    /// Not further.
    #[default]
    Checksum,
    /// It is restored into a throw-away database, on the same server or on the one that is named.
    Restore {
        /// Another server.
        uri: Option<String>,
    },
}

impl Backup {
    /// Reads the settings; what is wrong is reported, and then there is none.
    pub fn read(reader: &mut Reader<'_>, node: &Node) -> Option<Self> {
        let mut keys = vec!["postgres"];
        keys.extend(LATER);
        keys.extend(["compress", "encrypt", "to", "keep", "archive-after", "verify", "overdue"]);
        let settings = reader.map("backup", node, &keys, &[])?;
        reader.not_yet(&settings, &LATER);
        reader.not_yet(&settings, &["archive-after", "overdue"]);
        if LATER.iter().any(|key| settings.given(key).is_some()) {
            return None;
        }
        let Some(database) = settings.get("postgres") else {
            let help = "say which database: postgres: {uri: \"${{ secrets.DATABASE }}\"}";
            reader.refuse(node, "\"backup\" needs a database", Some(help.to_owned()));
            return None;
        };
        let postgres = postgres(reader, database);
        let compress = match settings.get("compress") {
            Some(node) => match reader.word("compress", node, &["gzip", "zstd", "none"])? {
                "zstd" => Compress::Zstd,
                "none" => Compress::None,
                _ => Compress::Gzip,
            },
            None => Compress::Gzip,
        };
        let encrypt = settings.get("encrypt").and_then(|node| reader.text("encrypt", node));
        let keep = settings.get("keep").and_then(|node| reader.duration("keep", node));
        let to = targets(reader, node, &settings, keep, compress);
        let verify = match settings.get("verify") {
            Some(node) => verify(reader, node)?,
            None => VerifyBackup::Checksum,
        };
        Some(Self { postgres: postgres?, compress, encrypt, to: to?, verify })
    }
}

fn postgres(reader: &mut Reader<'_>, node: &Node) -> Option<Postgres> {
    let settings = reader.map("postgres", node, &["uri", "format", "pod", "method"], &["uri"])?;
    if let Some(format) = settings.get("format") {
        reader.word("format", format, &["custom"])?;
    }
    if let Some(method) = settings.get("method") {
        match reader.word("method", method, &["dump", "base", "incremental"])? {
            "dump" => {}
            _ => reader.not_yet(&settings, &["method"]),
        }
    }
    let uri_node = settings.get("uri")?;
    let uri = reader.text("uri", uri_node)?;
    if !reader.is_open(uri_node) && !uri.starts_with("postgres://") && !uri.starts_with("postgresql://") {
        let help = Some("such as postgres://user:password@host:5432/name".to_owned());
        // The text may hold a password: it is not shown.
        reader.refuse(uri_node, "\"uri\" is no address of a PostgreSQL database", help);
        return None;
    }
    let pod = settings.get("pod").and_then(|node| reader.text("pod", node));
    Some(Postgres { uri, pod })
}

fn targets(
    reader: &mut Reader<'_>,
    whole: &Node,
    settings: &Settings<'_>,
    keep: Option<Duration>,
    compress: Compress,
) -> Option<Vec<Target>> {
    let Some(node) = settings.get("to") else {
        let help = "say where it goes: to: \"s3://backups/{date}-{time}.gz.enc\"".to_owned();
        reader.refuse(whole, "\"backup\" needs \"to\"", Some(help));
        return None;
    };
    let encrypted = settings.get("encrypt").is_some();
    let list: Vec<&Node> = node.items().map_or_else(|| vec![node], |items| items.iter().collect());
    let mut targets = Vec::new();
    for item in list {
        let (at, target) = if item.entries().is_some() {
            let own = reader.map("to", item, &["url", "keep"], &["url"])?;
            let url = own.get("url")?;
            let keep = own.get("keep").and_then(|node| reader.duration("keep", node)).or(keep);
            (url, Target { url: reader.text("url", url)?, keep })
        } else {
            (item, Target { url: reader.text("to", item)?, keep })
        };
        if !reader.is_open(at) {
            check_place(reader, at, &target.url, compress, encrypted)?;
        }
        targets.push(target);
    }
    if targets.is_empty() {
        reader.refuse(node, "\"to\" is an empty list", None);
        return None;
    }
    Some(targets)
}

/// What a name says must be so: its kind of place, its template, its endings.
fn check_place(reader: &mut Reader<'_>, node: &Node, url: &str, compress: Compress, encrypted: bool) -> Option<()> {
    let mut refuse = |message: String, help: &str| {
        reader.refuse(node, message, Some(help.to_owned()));
        None
    };
    if let Some(scheme) = LATER_PLACES.iter().find(|scheme| url.starts_with(**scheme)) {
        return refuse(format!("backups to \"{scheme}\" cannot be made yet"), "use s3: or file:");
    }
    let path = url
        .strip_prefix("s3://")
        .or_else(|| url.strip_prefix("file://"))
        .or(Some(url).filter(|url| url.starts_with('/')));
    let Some(path) = path else {
        return refuse(
            format!("\"{url}\" is no place for backups"),
            "write s3://BUCKET/NAME, file:///FOLDER/NAME or /FOLDER/NAME",
        );
    };
    if !path.contains('/') {
        return refuse(
            format!("\"{url}\" names no object"),
            "write a name behind the bucket: s3://BUCKET/{date}-{time}.gz",
        );
    }
    let mut rest = url;
    while let Some((_, behind)) = rest.split_once('{') {
        let (name, after) = behind.split_once('}').unwrap_or((behind, ""));
        if !["date", "time", "run", "sha", "database"].contains(&name) {
            return refuse(
                format!("\"{{{name}}}\" is not known in a backup's name"),
                "known: {date} {time} {run} {sha} {database}",
            );
        }
        rest = after;
    }
    let plain = url.strip_suffix(".enc");
    if plain.is_none() && encrypted && (url.ends_with(".gz") || url.ends_with(".zst")) {
        return refuse("the name does not say that the backup is encrypted".to_owned(), "let it end in .enc");
    }
    // The other way round is known when it runs: the user's configuration may have a key.
    let plain = plain.unwrap_or(url);
    refuse_ending(plain, compress).map_or(Some(()), |(message, help)| refuse(message, help))
}

fn refuse_ending(plain: &str, compress: Compress) -> Option<(String, &'static str)> {
    let says = match plain {
        _ if plain.ends_with(".gz") => Compress::Gzip,
        _ if plain.ends_with(".zst") => Compress::Zstd,
        _ => return None,
    };
    (says != compress).then(|| {
        let message = format!("the name says {}, and \"compress\" is {}", says.name(), compress.name());
        (message, "make name and \"compress\" agree")
    })
}

fn verify(reader: &mut Reader<'_>, node: &Node) -> Option<VerifyBackup> {
    match reader.choice_of("verify", node, &["checksum", "restore"])? {
        ("restore", Some(settings)) => {
            let restore = reader.map("restore", settings, &["uri"], &["uri"])?;
            let uri = restore.get("uri").and_then(|node| reader.text("uri", node));
            Some(VerifyBackup::Restore { uri })
        }
        ("restore", None) => Some(VerifyBackup::Restore { uri: None }),
        _ => Some(VerifyBackup::Checksum),
    }
}
