//! File commands (`GITHUB_OUTPUT`, `GITHUB_ENV`, `GITHUB_PATH`): runners.md 3.8. Pure.

/// A step's summary may have so many bytes.
pub const MAX_SUMMARY: usize = 1024 * 1024;

/// Variables that cannot be set through `GITHUB_ENV`, since they would change what the runner itself does.
const BLOCKED: &[&str] = &["NODE_OPTIONS"];

/// `GITHUB_OUTPUT`: names and values in order.
pub fn parse_output(content: &[u8]) -> Result<Vec<(String, String)>, String> {
    pairs(content, "output")
}

/// `GITHUB_ENV`: names and values in order. `GITHUB_*` and `RUNNER_*` are left out: the runner always sets them itself.
pub fn parse_env(content: &[u8]) -> Result<Vec<(String, String)>, String> {
    let list = pairs(content, "env")?;
    if let Some((name, _)) = list.iter().find(|(name, _)| BLOCKED.contains(&name.to_uppercase().as_str())) {
        return Err(refuse("env", &format!("can't store {name} output parameter using '$GITHUB_ENV' command")));
    }
    let own = |name: &str| name.starts_with("GITHUB_") || name.starts_with("RUNNER_");
    Ok(list.into_iter().filter(|(name, _)| !own(&name.to_uppercase())).collect())
}

/// `GITHUB_PATH`: the lines that are not empty, in order.
pub fn parse_path(content: &[u8]) -> Result<Vec<String>, String> {
    let text = String::from_utf8_lossy(content);
    let lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    Ok(lines.filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

fn refuse(file: &str, why: &str) -> String {
    format!("unable to process file command '{file}' successfully: {why}")
}

/// `K=V` lines and `K<<D` blocks: whichever of `=` and `<<` comes first decides.
fn pairs(content: &[u8], file: &str) -> Result<Vec<(String, String)>, String> {
    let text = String::from_utf8_lossy(content);
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut list = Vec::new();
    while !rest.is_empty() {
        let (line, after, _) = take_line(rest);
        rest = after;
        if line.is_empty() {
            continue;
        }
        match (line.find('='), line.find("<<")) {
            (Some(equals), block) if block.is_none_or(|block| equals < block) => {
                list.push((line[..equals].to_owned(), line[equals + 1..].to_owned()));
            }
            (_, Some(block)) => {
                let (name, delimiter) = (&line[..block], &line[block + 2..]);
                if name.is_empty() || delimiter.is_empty() {
                    return Err(refuse(
                        file,
                        &format!("Invalid format '{line}'. Name and delimiter must not be empty"),
                    ));
                }
                let (value, after) = block_value(rest, delimiter).map_err(|why| refuse(file, &why))?;
                list.push((name.to_owned(), value.to_owned()));
                rest = after;
            }
            _ => return Err(refuse(file, &format!("Invalid format '{line}'"))),
        }
    }
    Ok(list)
}

/// The value up to a line that is `delimiter`, and what follows. Line ends within the value stay as they are.
fn block_value<'a>(text: &'a str, delimiter: &str) -> Result<(&'a str, &'a str), String> {
    let mut at = 0;
    let mut end_of_value = 0;
    loop {
        if at >= text.len() {
            return Err(format!("Invalid value. Matching delimiter not found '{delimiter}'"));
        }
        let (line, after, ended) = take_line(&text[at..]);
        if line == delimiter {
            return Ok((&text[..end_of_value], after));
        }
        if !ended {
            let why = if line.is_empty() { "Matching delimiter not found" } else { "EOF marker missing new line" };
            return Err(format!("Invalid value. {why} '{delimiter}'"));
        }
        end_of_value = at + line.len();
        at = text.len() - after.len();
    }
}

/// The first line without its end, the rest, and whether the line had an end.
fn take_line(text: &str) -> (&str, &str, bool) {
    match text.find('\n') {
        Some(end) => {
            let line = &text[..end];
            (line.strip_suffix('\r').unwrap_or(line), &text[end + 1..], true)
        }
        None => (text, "", false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok(text: &str) -> Vec<(String, String)> {
        parse_output(text.as_bytes()).expect("valid")
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn whichever_sign_comes_first_decides() {
        assert_eq!(ok("a=1\n\nb=x<<y\r\nc==\n"), [pair("a", "1"), pair("b", "x<<y"), pair("c", "=")]);
        assert_eq!(ok("a<<E=F\n1\nE=F\nb=2"), [pair("a", "1"), pair("b", "2")]);
    }

    #[test]
    fn blocks_keep_inner_lines_and_lose_the_last_end() {
        assert_eq!(ok("a<<EOF\none\r\ntwo\nEOF\n"), [pair("a", "one\r\ntwo")]);
        assert_eq!(ok("a<<EOF\nEOF\n"), [pair("a", "")]);
        assert_eq!(ok("a<<EOF\n\nx\n\nEOF"), [pair("a", "\nx\n")]);
    }

    #[test]
    fn what_is_wrong_is_said_in_githubs_words() {
        let error = |text: &str| parse_output(text.as_bytes()).expect_err("invalid");
        assert!(error("a<<EOF\none\n").contains("Matching delimiter not found 'EOF'"));
        assert!(error("a<<EOF\none").contains("EOF marker missing new line"));
        assert!(error("nothing").contains("Invalid format 'nothing'"));
        assert!(error("a<<\n").contains("Invalid format"));
    }

    #[test]
    fn the_runners_own_variables_cannot_be_set() {
        let list = parse_env(b"GITHUB_SHA=x\nRUNNER_OS=y\nA=1\n").expect("valid");
        assert_eq!(list, [pair("A", "1")]);
        assert!(parse_env(b"NODE_OPTIONS=--require x\n").expect_err("blocked").contains("NODE_OPTIONS"));
    }

    #[test]
    fn paths_are_lines() {
        assert_eq!(parse_path(b"/a\n\n/b\r\n").expect("lines"), ["/a", "/b"]);
    }
}
