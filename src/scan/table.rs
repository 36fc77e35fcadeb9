//! Findings as a table for the log.

use super::Finding;

/// More rows help nobody; the kept files have all.
const MAX_ROWS: usize = 100;
/// A column is cut here.
const MAX_CELL: usize = 60;

/// The table's lines, the first the head. Nothing found is no table.
pub fn lines(findings: &[Finding]) -> Vec<String> {
    if findings.is_empty() {
        return Vec::new();
    }
    let mut rows = vec![["SEVERITY", "ID", "WHERE", "FIXED IN", "WHAT"].map(str::to_owned)];
    for finding in findings.iter().take(MAX_ROWS) {
        let fixed = finding.fixed.clone().unwrap_or_else(|| "-".to_owned());
        let cells =
            [finding.severity.name().to_owned(), finding.id.clone(), finding.place(), fixed, finding.title.clone()];
        rows.push(cells.map(|cell| cut(&cell)));
    }
    let mut widths = [0; 5];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut lines: Vec<String> = rows
        .iter()
        .map(|row| {
            let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            cells.join("  ").trim_end().to_owned()
        })
        .collect();
    if findings.len() > MAX_ROWS {
        lines.push(format!("and {} more", findings.len() - MAX_ROWS));
    }
    lines
}

fn cut(cell: &str) -> String {
    match cell.char_indices().nth(MAX_CELL) {
        Some((end, _)) => format!("{}...", &cell[..end]),
        None => cell.to_owned(),
    }
}
