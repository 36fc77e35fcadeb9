//! Slack's incoming webhooks, and those of others that speak like them.

use reqwest::header::HeaderMap;
use serde_json::json;

use crate::clock::Timestamp;

use super::courier::Undelivered;
use super::http::Http;
use super::notice::{Notice, plain};

/// A block takes at most 3000 characters.
const BLOCK: usize = 2900;

pub(super) async fn send(http: &Http, url: &str, notice: &Notice, now: Timestamp) -> Result<(), Undelivered> {
    http.post(url, body(notice).to_string().into_bytes(), HeaderMap::new(), now).await
}

/// The title stands out, text of tools is code, so that nothing in it mentions people or becomes a link.
fn body(notice: &Notice) -> serde_json::Value {
    let mut blocks = vec![section(&format!("{} *{}*", mark(&notice.event), escape(&notice.title)))];
    let lines = plain(&notice.lines.join("\n"));
    if !lines.trim().is_empty() {
        blocks.push(section(&format!("```{}```", cut(&escape(lines.trim_matches('\n')).replace("```", "'''")))));
    }
    if let Some(command) = &notice.command {
        blocks.push(section(&format!("`{}`", escape(command).replace('`', "'"))));
    }
    let mut footer = escape(&notice.card.footer());
    if let Some(url) = &notice.card.url {
        footer += &format!(" <{}|show>", escape(url).replace('|', "%7C"));
    }
    blocks.push(json!({"type": "context", "elements": [{"type": "mrkdwn", "text": footer}]}));
    json!({ "text": escape(&notice.title), "blocks": blocks })
}

fn section(text: &str) -> serde_json::Value {
    json!({"type": "section", "text": {"type": "mrkdwn", "text": text}})
}

fn mark(event: &str) -> &'static str {
    match event {
        "success" | "approved" => ":white_check_mark:",
        "failure" | "rejected" => ":x:",
        "rollback" => ":rewind:",
        "paged" | "overdue" => ":rotating_light:",
        "waiting" => ":hourglass:",
        _ => ":information_source:",
    }
}

/// Slack's three characters; with them a text cannot mention anybody.
fn escape(text: &str) -> String {
    plain(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(BLOCK) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::card::Card;

    #[test]
    fn texts_of_others_mention_nobody_and_leave_no_block() {
        let notice = Notice {
            event: "failure".to_owned(),
            at: Timestamp(0),
            card: Card { id: "0abc".to_owned(), pipeline: "shop".to_owned(), ..Card::default() },
            stage: None,
            app: None,
            environment: None,
            title: "shop <!channel> & co".to_owned(),
            lines: vec!["```<@U1>".to_owned(), "x".repeat(5000)],
            gate: None,
            command: Some("slipway logs `id`".to_owned()),
        };
        let body = body(&notice);
        assert_eq!(body["text"], "shop &lt;!channel&gt; &amp; co");
        let lines = body["blocks"][1]["text"]["text"].as_str().expect("a text");
        assert!(lines.starts_with("```'''&lt;@U1&gt;\nxxx") && lines.ends_with("…```"), "{lines}");
        assert!(lines.chars().count() < 3000);
        assert_eq!(body["blocks"][2]["text"]["text"], "`slipway logs 'id'`");
        assert_eq!(body["blocks"][3]["elements"][0]["text"], "run 0abc");
    }
}
