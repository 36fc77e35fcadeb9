//! HTML by hand: every text goes through [`text`], and there is no other way into a page.

use crate::report::sanitize::{as_markup, visible};

/// A text as it stands in a page: what could be a tag, an attribute's end or a control sequence is none any more.
pub fn text(raw: &str) -> String {
    as_markup(&visible(raw))
}

/// A part of a path in a link.
pub fn part(raw: &str) -> String {
    url::form_urlencoded::byte_serialize(raw.as_bytes()).collect::<String>().replace('+', "%20")
}

/// A whole page. `body` is HTML; `again` loads it anew every five seconds.
pub fn page(title: &str, body: &str, again: bool) -> String {
    let refresh = if again { "<meta http-equiv=\"refresh\" content=\"5\">" } else { "" };
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">{refresh}\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{title}</title><link rel=\"stylesheet\" href=\"/style.css\"></head>\n\
         <body><header><a href=\"/\">slipway</a></header>\n<main>\n{body}</main></body></html>\n",
        title = text(title),
    )
}

/// How the pages look.
pub const STYLE: &str = "\
:root{color-scheme:light dark}
body{font:15px/1.5 system-ui,sans-serif;margin:0}
header{padding:.6rem 1.2rem;border-bottom:1px solid #8884}
header a{font-weight:600;text-decoration:none;color:inherit}
main{padding:1rem 1.2rem;max-width:72rem}
table{border-collapse:collapse;width:100%}
td,th{text-align:left;padding:.3rem .8rem .3rem 0;border-bottom:1px solid #8883;vertical-align:top}
pre{overflow-x:auto;padding:.8rem;background:#8881;border-radius:4px;font-size:13px}
code{font-size:13px}
.success{color:#1a7f37}.failure,.lost{color:#cf222e}.cancelled,.skipped,.waiting{color:#8a8a8a}
.running{color:#0969da}.approval{color:#9a6700}
.note{padding:.5rem .8rem;background:#9a670022;border-radius:4px}
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t23_nothing_of_a_text_becomes_a_tag_or_steers_anything() {
        assert_eq!(
            text("<script>alert('a')</script>\"&"),
            "&lt;script&gt;alert(&#39;a&#39;)&lt;/script&gt;&quot;&amp;"
        );
        let odd = text("a\u{1b}]8;;http://evil\u{7}b\u{202e}c\u{0}");
        assert!(!odd.chars().any(|c| c.is_control() || c == '\u{202e}'), "{odd:?}");
        assert_eq!(part("a b/../c?d#\"<"), "a%20b%2F..%2Fc%3Fd%23%22%3C");
        let page = page("<t>", "<p>x</p>", false);
        assert!(page.contains("<title>&lt;t&gt;</title>") && page.contains("<p>x</p>") && !page.contains("refresh"));
    }
}
