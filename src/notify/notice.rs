//! A notice: what one message says, before a channel gives it its form.

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::clock::Timestamp;
use crate::event::GateReading;

use super::card::Card;

/// Bytes of text that a notice has at most; the rest is left out with a mark.
const MOST: usize = 8 * 1024;

/// What a message says. Texts are masked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// `waiting`, `rollback`, ...; `message` for what a stage says.
    pub event: String,
    /// When it happened.
    pub at: Timestamp,
    /// The run.
    pub card: Card,
    /// The stage that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// The application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// The environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// One line that says it all.
    pub title: String,
    /// More lines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
    /// The gate that fired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<GateReading>,
    /// The command that a person may give now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

impl Notice {
    /// The whole as plain text, without control characters.
    pub fn text(&self) -> String {
        let mut text = plain(&self.title);
        let mut body = self.lines.join("\n");
        if let Some(command) = &self.command {
            body += &format!("\n{command}");
        }
        let body = plain(body.trim_matches('\n'));
        if !body.is_empty() {
            text += &format!("\n{}", cut(&body));
        }
        text += &format!("\n{}", plain(&self.card.footer()));
        if let Some(url) = &self.card.url {
            text += &format!("\n{}", plain(url));
        }
        text
    }

    /// For programs: the body of a webhook.
    pub fn json(&self, id: &str) -> Json {
        json!({
            "version": 1,
            "id": id,
            "event": self.event,
            "at": self.at.rfc3339(),
            "run": self.card,
            "stage": self.stage,
            "app": self.app,
            "environment": self.environment,
            "title": plain(&self.title),
            "text": self.text(),
            "gate": self.gate,
            "command": self.command,
        })
    }
}

/// `text` without control characters other than line ends and tabs.
pub(super) fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}

/// `text` on one line.
pub(super) fn one_line(text: &str) -> String {
    plain(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn cut(text: &str) -> String {
    if text.len() <= MOST {
        return text.to_owned();
    }
    let mut end = MOST;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}\n(cut: {} bytes more)", &text[..end], text.len() - end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(lines: Vec<String>) -> Notice {
        Notice {
            event: "failure".to_owned(),
            at: Timestamp(0),
            card: Card {
                id: "0abc".to_owned(),
                pipeline: "shop".to_owned(),
                commit: "0".repeat(40),
                actor: "ann".to_owned(),
                ..Card::default()
            },
            stage: None,
            app: None,
            environment: None,
            title: "shop failed".to_owned(),
            lines,
            gate: None,
            command: None,
        }
    }

    #[test]
    fn text_is_plain_and_bounded() {
        let text = notice(vec!["\u{1b}[31mred\u{1b}[0m\u{7}".to_owned()]).text();
        assert_eq!(text, "shop failed\n[31mred[0m\nrun 0abc, started by ann");
        let long = notice(vec!["é".repeat(10_000)]).text();
        assert!(long.len() < MOST + 200 && long.contains("(cut: "), "{} bytes", long.len());
    }

    #[test]
    fn json_holds_what_programs_ask_for() {
        let json = notice(Vec::new()).json("k1");
        assert_eq!(json["id"], "k1");
        assert_eq!(json["event"], "failure");
        assert_eq!(json["at"], "1970-01-01T00:00:00.000Z");
        assert_eq!(json["run"]["pipeline"], "shop");
    }
}
