//! An incident for people: Markdown.

use std::fmt::Write;
use std::time::Duration;

use crate::clock::humanize;
use crate::notify::words::{gate, place};

use super::build::{Incident, Rollback};

/// The report's text.
pub fn markdown(incident: &Incident) -> String {
    let Incident { run, app, environment, severity, kind, .. } = incident;
    let how = match kind.as_str() {
        "rolled-back" => "was rolled back",
        "rolling-back" => "was being rolled back, and how that ended is not known",
        "paged" => "needs a person",
        _ => "failed a gate",
    };
    let place = place(app, environment);
    let mut text = format!("# {severity}: {} {how}\n\n", inline(&place));
    let exposed = incident.exposed.map(|weight| format!("{weight} % of traffic at most")).unwrap_or_default();
    let rows = [
        ("Pipeline", run.title()),
        ("Run", run.footer()),
        ("Stage", incident.stage.clone()),
        ("Strategy", incident.strategy.clone()),
        ("Had come to", incident.step.clone()),
        ("New version saw", exposed),
        ("From", incident.from.clone()),
        ("To", incident.to.clone()),
        ("Ended", incident.outcome.clone()),
    ];
    text += "| | |\n|---|---|\n";
    for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        line(&mut text, format_args!("| {name} | {} |", cell(value)));
    }
    if !incident.gates.is_empty() {
        text += "\n## Gates that failed\n\n";
        for seen in &incident.gates {
            line(&mut text, format_args!("- {}", inline(&gate(&seen.reading))));
            let last = if seen.times > 1 {
                format!(", {} times until {}", seen.times, seen.last.rfc3339())
            } else {
                String::new()
            };
            line(&mut text, format_args!("  - first seen {}{last}", seen.first.rfc3339()));
        }
    }
    if let Some(rollback) = &incident.rollback {
        text += "\n## Rollback\n\n";
        rolled_back(&mut text, rollback);
    }
    section(&mut text, "Paged", incident.pages.iter().map(|page| format!("{}: {}", page.at.rfc3339(), page.what)));
    section(
        &mut text,
        "Timeline",
        incident.timeline.iter().map(|moment| format!("{} {}", moment.at.rfc3339(), moment.what)),
    );
    let approvals = incident.approvals.iter().map(|spoken| {
        let how = if spoken.approved { "approved" } else { "rejected" };
        let comment = if spoken.comment.is_empty() { String::new() } else { format!(": {}", spoken.comment) };
        format!("{} {} {how} \"{}\"{comment}", spoken.at.rfc3339(), spoken.by, spoken.stage)
    });
    section(&mut text, "Approvals", approvals);
    let told = incident.told.iter().map(|told| {
        let reason = if told.reason.is_empty() { String::new() } else { format!(": {}", told.reason) };
        format!("{}, {}{reason}", told.notice, told.state)
    });
    section(&mut text, "Who was told", told);
    line(&mut text, format_args!("\nLogs: `slipway logs {} {}`", run.id, incident.stage));
    if let Some(url) = &run.url {
        line(&mut text, format_args!("\nRun: <{}>", inline(url)));
    }
    text
}

fn rolled_back(text: &mut String, rollback: &Rollback) {
    if !rollback.reason.is_empty() {
        line(text, format_args!("- why: {}", inline(&rollback.reason)));
    }
    line(text, format_args!("- decided: {}", rollback.began.rfc3339()));
    match rollback.ended {
        Some(ended) => line(text, format_args!("- done: {}", ended.rfc3339())),
        None => line(text, format_args!("- done: not known")),
    }
    if let Some(took) = rollback.took {
        line(text, format_args!("- from the first bad sample to that: {}", humanize(Duration::from_millis(took))));
    }
    let health = match rollback.healthy {
        Some(true) => "healthy",
        Some(false) => "not healthy",
        None => "not known",
    };
    line(text, format_args!("- what serves now: {health}"));
}

fn section(text: &mut String, title: &str, items: impl Iterator<Item = String>) {
    let mut items = items.peekable();
    if items.peek().is_some() {
        line(text, format_args!("\n## {title}\n"));
    }
    for item in items {
        line(text, format_args!("- {}", inline(&item)));
    }
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing into a text cannot fail.
    let _ = writeln!(text, "{arguments}");
}

/// One line in which nothing is markup of its author's: no HTML, no link, no mention of anybody by an image.
fn inline(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in crate::notify::notice::one_line(text).chars() {
        match c {
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '&' => out += "&amp;",
            '\\' | '`' | '*' | '_' | '[' | ']' | '!' | '#' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

fn cell(text: &str) -> String {
    inline(text).replace('|', "\\|")
}
