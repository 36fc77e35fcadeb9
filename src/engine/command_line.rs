//! The grammar of one line with a workflow command: `::name k=v,k2=v2::data`, and the older `##[name k=v;k2=v2]data`.

/// The names that are commands; anything else is plain output.
const NAMES: [&str; 15] = [
    "add-mask",
    "add-matcher",
    "add-path",
    "debug",
    "echo",
    "endgroup",
    "error",
    "group",
    "notice",
    "remove-matcher",
    "save-state",
    "set-env",
    "set-output",
    "stop-commands",
    "warning",
];

/// A line that holds a command, unescaped.
#[derive(Debug, PartialEq, Eq)]
pub struct CommandLine {
    /// The name in lower case, or a stop token as it was written.
    pub name: String,
    /// Properties with a value, in order.
    properties: Vec<(String, String)>,
    /// What stands behind.
    pub data: String,
}

impl CommandLine {
    /// A property; names are the same in upper and lower case, and the last one counts.
    pub fn property(&self, name: &str) -> Option<&str> {
        self.properties.iter().rev().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Whether `name` is a command.
    pub fn known(name: &str) -> bool {
        NAMES.iter().any(|known| known.eq_ignore_ascii_case(name))
    }
}

/// Reads a line without its end. `token` is a name too while commands are stopped. Invalid UTF-8 in a command is replaced.
pub fn parse(line: &[u8], token: Option<&str>) -> Option<CommandLine> {
    // Nearly every line ends here.
    let start = line.trim_ascii_start();
    let new_form = start.starts_with(b"::");
    if !new_form && !line.windows(3).any(|window| window == b"##[") {
        return None;
    }
    let text = String::from_utf8_lossy(line);
    let text = text.trim_end_matches(['\r', '\n']);
    let known = |name: &str| CommandLine::known(name) || token.is_some_and(|token| token.eq_ignore_ascii_case(name));
    new_style(text, &known).or_else(|| old_style(text, &known))
}

fn new_style(text: &str, known: &dyn Fn(&str) -> bool) -> Option<CommandLine> {
    let (head, data) = text.trim_start().strip_prefix("::")?.split_once("::")?;
    let (name, properties) = head.split_once(' ').unwrap_or((head, ""));
    known(name).then(|| CommandLine {
        name: canonical(name),
        properties: read_properties(properties, ',', &[("%0D", '\r'), ("%0A", '\n'), ("%3A", ':'), ("%2C", ',')]),
        data: unescape(data, &[("%0D", '\r'), ("%0A", '\n')]),
    })
}

fn old_style(text: &str, known: &dyn Fn(&str) -> bool) -> Option<CommandLine> {
    const ESCAPES: [(&str, char); 4] = [("%3B", ';'), ("%0D", '\r'), ("%0A", '\n'), ("%5D", ']')];
    let (head, data) = text.split_once("##[")?.1.split_once(']')?;
    let (name, properties) = head.split_once(' ').unwrap_or((head, ""));
    known(name).then(|| CommandLine {
        name: canonical(name),
        properties: read_properties(properties, ';', &ESCAPES),
        data: unescape(data, &ESCAPES),
    })
}

fn canonical(name: &str) -> String {
    if CommandLine::known(name) { name.to_ascii_lowercase() } else { name.to_owned() }
}

fn read_properties(text: &str, separator: char, escapes: &[(&str, char)]) -> Vec<(String, String)> {
    text.trim()
        .split(separator)
        .filter_map(|pair| pair.split_once('='))
        .filter(|(key, value)| !key.is_empty() && !value.is_empty())
        .map(|(key, value)| (key.trim().to_owned(), unescape(value, escapes)))
        .collect()
}

/// Replaces the escapes, and `%25` last; as no escape makes a `%`, that is the same as one pass.
fn unescape(text: &str, escapes: &[(&str, char)]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let escape = escapes.iter().chain(&[("%25", '%')]).find(|(code, _)| rest.starts_with(code));
        out.push(escape.map_or('%', |(_, c)| *c));
        rest = &rest[escape.map_or(1, |(code, _)| code.len())..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::type_complexity, reason = "three parts of a test's expectation")]
    fn read(line: &str) -> Option<(String, Vec<(String, String)>, String)> {
        parse(line.as_bytes(), None).map(|c| (c.name, c.properties, c.data))
    }

    fn is(line: &str, name: &str, properties: &[(&str, &str)], data: &str) {
        let properties = properties.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        assert_eq!(read(line), Some((name.to_owned(), properties, data.to_owned())), "{line}");
    }

    #[test]
    fn the_new_form() {
        is("::error::x", "error", &[], "x");
        is("  \t::ERROR file=a.rs,line=3::a::b", "error", &[("file", "a.rs"), ("line", "3")], "a::b");
        is("::set-output name=a%2Cb%3Ac::1%0A2%0D", "set-output", &[("name", "a,b:c")], "1\n2\r");
        is("::debug k=%253A::%250A%25%2C%0a", "debug", &[("k", "%3A")], "%0A%%2C%0a");
        is("::notice a=,b,=c,d=e=f::", "notice", &[("d", "e=f")], "");
    }

    #[test]
    fn the_old_form_stands_anywhere() {
        is("##[error]x", "error", &[], "x");
        is("text ##[warning file=a;line=2]it; broke", "warning", &[("file", "a"), ("line", "2")], "it; broke");
        is(
            "##[debug k=%253B=%250D=%250A=%255D;]%253B-%250D-%250A-%255D",
            "debug",
            &[("k", "%3B=%0D=%0A=%5D")],
            "%3B-%0D-%0A-%5D",
        );
        is("::unknown::##[group]x", "group", &[], "x");
    }

    #[test]
    fn anything_else_is_plain() {
        for line in
            ["", "error::x", "x ::error::y", "::error", "::error:x", "::err::x", "::::", "##[error", "##[x]y", "# ["]
        {
            assert_eq!(read(line), None, "{line}");
        }
    }
}
