//! Workflow commands in output, made readable: `::group::`, `::error file=a.rs,line=3::text`, `##[warning]text`.

/// What a line of output is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Marked<'a> {
    /// Output.
    Text(&'a str),
    /// A group begins; its title.
    Group(&'a str),
    /// A group ends.
    GroupEnd,
    /// `error`, `warning` or `notice`, with place and text.
    Note(&'static str, String),
    /// `::debug::`.
    Debug(&'a str),
    /// A command that tells a reader nothing.
    Hidden,
}

/// Reads a line, already without control sequences. What is no known command is text.
pub fn read(line: &str) -> Marked<'_> {
    let trimmed = line.trim_start();
    let (name, properties, text) = if let Some(rest) = trimmed.strip_prefix("##[") {
        let Some((name, text)) = rest.split_once(']') else { return Marked::Text(line) };
        (name, "", text)
    } else if let Some(rest) = trimmed.strip_prefix("::") {
        let Some((command, text)) = rest.split_once("::") else { return Marked::Text(line) };
        let (name, properties) = command.split_once(' ').unwrap_or((command, ""));
        (name, properties, text)
    } else {
        return Marked::Text(line);
    };
    match name.to_ascii_lowercase().as_str() {
        "group" => Marked::Group(text),
        "endgroup" => Marked::GroupEnd,
        "error" => Marked::Note("error", place(properties) + &unescape(text)),
        "warning" => Marked::Note("warning", place(properties) + &unescape(text)),
        "notice" => Marked::Note("notice", place(properties) + &unescape(text)),
        "debug" => Marked::Debug(text),
        "add-mask" | "add-matcher" | "remove-matcher" | "echo" | "save-state" => Marked::Hidden,
        _ => Marked::Text(line),
    }
}

/// `a.rs:3: ` of `file=a.rs,line=3`.
fn place(properties: &str) -> String {
    let find = |key: &str| {
        properties.split(',').filter_map(|p| p.trim().split_once('=')).find(|(k, _)| *k == key).map(|(_, v)| v)
    };
    match (find("file"), find("line")) {
        (Some(file), Some(line)) => format!("{file}:{line}: "),
        (Some(file), None) => format!("{file}: "),
        _ => String::new(),
    }
}

fn unescape(text: &str) -> String {
    text.replace("%0D", "").replace("%0A", " ").replace("%25", "%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_become_readable() {
        assert_eq!(read("text :: more"), Marked::Text("text :: more"));
        assert_eq!(read("::group::Install"), Marked::Group("Install"));
        assert_eq!(read("##[endgroup]"), Marked::GroupEnd);
        let note = Marked::Note("error", "a.rs:3: no; 5% off".into());
        assert_eq!(read("  ::error file=a.rs,line=3,col=1::no;%0A5%25 off"), note);
        assert_eq!(read("##[warning]odd"), Marked::Note("warning", "odd".into()));
        assert_eq!(read("::add-mask::x"), Marked::Hidden);
        assert_eq!(read("::std::vec::Vec"), Marked::Text("::std::vec::Vec"));
        assert_eq!(read("::debug::x"), Marked::Debug("x"));
    }
}
