//! What a task would do (`task::contract::Preview`, as JSON in the plan's view), as lines.

use serde_json::Value;

use super::style::Ink;

/// Lines with their colour.
pub fn lines(preview: &Value) -> Vec<(Ink, String)> {
    let mut out = Vec::new();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for line in preview["lines"].as_array().into_iter().flatten() {
        match line["kind"].as_str() {
            Some("command") => {
                let argv: Vec<&str> = line["argv"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                let image = line["image"].as_str().map(|image| format!("   [{image}]")).unwrap_or_default();
                out.push((Ink::Green, format!("$ {}{image}", argv.join(" "))));
            }
            Some("change") => {
                let ink = match line["verb"].as_str() {
                    Some("create") => Ink::Green,
                    Some("delete") => Ink::Red,
                    Some("same") => Ink::Dim,
                    _ => Ink::Yellow,
                };
                let place = line["namespace"].as_str().map(|space| format!(" in {space}")).unwrap_or_default();
                out.push((ink, format!("{} {}{place}", text(&line["verb"]), text(&line["object"]))));
                for diff in line["diff"].as_array().into_iter().flatten() {
                    let diff = text(diff);
                    let ink = match diff.chars().next() {
                        Some('+') => Ink::Green,
                        Some('-') => Ink::Red,
                        _ => Ink::Dim,
                    };
                    out.push((ink, format!("  {diff}")));
                }
            }
            _ => out.push((Ink::Cyan, text(&line["text"]))),
        }
    }
    for (key, ink, label) in [("refused", Ink::Red, "would be refused"), ("unknown", Ink::Yellow, "not known yet")] {
        out.extend(preview[key].as_array().into_iter().flatten().map(|what| (ink, format!("{label}: {}", text(what)))));
    }
    out
}
