//! Issues at the forge.

use crate::forge::contract::{Forge, NewIssue};

use super::courier::Undelivered;
use super::notice::{Notice, one_line, plain};

/// Titles are cut at this many characters.
const TITLE: usize = 200;

pub(super) async fn send(forge: &dyn Forge, id: &str, notice: &Notice, labels: &[String]) -> Result<(), Undelivered> {
    let issue = NewIssue {
        title: one_line(&notice.title).chars().take(TITLE).collect(),
        body: body(notice),
        labels: labels.to_vec(),
        marker: id.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect(),
    };
    match forge.create_issue(&issue).await {
        Ok(_) => Ok(()),
        Err(error) if error.is_final() => Err(Undelivered::Never(error.to_string())),
        Err(error) => Err(Undelivered::Later { reason: error.to_string(), after: error.retry_after() }),
    }
}

/// The lines stand in a block of code, so that text of tools mentions nobody and closes no issue.
fn body(notice: &Notice) -> String {
    let mut body = String::new();
    let lines = plain(&notice.lines.join("\n"));
    if !lines.trim().is_empty() {
        body += &format!("```text\n{}\n```\n\n", lines.trim_matches('\n').replace("```", "'''"));
    }
    if let Some(command) = &notice.command {
        body += &format!("`{}`\n\n", one_line(command).replace('`', "'"));
    }
    body += &format!("`{}`\n", one_line(&notice.card.footer()).replace('`', "'"));
    if let Some(url) = &notice.card.url {
        body += &format!("\n{}\n", one_line(url));
    }
    body
}
