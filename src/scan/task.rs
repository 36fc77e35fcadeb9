//! The task of `scan`.

use async_trait::async_trait;
use serde_json::json;

use crate::event::TaskReport;
use crate::stage::{Scan, ScanTool, Typed};
use crate::task::contract::{
    Preview, PreviewLine, Surroundings, Task, TaskCommand, TaskCtx, TaskEnd, TaskError, TaskExit, TaskSpec, remember,
};

use super::{
    Finding, Ignore, ReportError, Scanned, Sifted, Verdict, counts, gitleaks, report, sarif, sift, table, trivy, write,
};

/// No list of known findings is larger.
const MAX_IGNORE_BYTES: u64 = 1 << 20;
/// Codes by which a shell, or an engine, says that there is no such program.
const NO_PROGRAM: [i32; 2] = [126, 127];

/// Does `scan`.
#[derive(Debug, Clone, Copy, Default)]
pub struct ScanTask;

impl ScanTask {
    /// It keeps nothing between stages.
    pub fn new() -> Self {
        Self
    }
}

#[async_trait]
impl Task for ScanTask {
    async fn preview(&self, spec: &TaskSpec, around: &dyn Surroundings) -> Result<Preview, TaskError> {
        let scan = settings(spec)?;
        let mut preview = Preview::default();
        let image = scan.default_image().map(str::to_owned);
        let argv = match command(scan, has_history(scan, around)) {
            TaskCommand { script: Some(script), .. } => vec![script],
            TaskCommand { argv, .. } => argv,
        };
        let argv = argv.iter().map(|word| around.mask(word)).collect();
        preview.lines.push(PreviewLine::Command { argv, image });
        let gate = scan.fail_on.name();
        let preview = preview.effect(match gate {
            "none" => "findings are kept, and none fails the stage".to_owned(),
            "any" => "fails at any finding".to_owned(),
            _ => format!("fails at a finding of severity {gate} or above"),
        });
        // A mistake in the list is better known before the run.
        Ok(match ignored(scan, around) {
            Ok(_) => preview,
            Err(error) => Preview { refused: vec![error.to_string()], ..preview },
        })
    }

    async fn run(&self, spec: &TaskSpec, ctx: &dyn TaskCtx) -> Result<TaskEnd, TaskError> {
        let scan = settings(spec)?;
        let ignore = ignored(scan, ctx)?;
        let scanned = scan_once(scan, ctx).await?;
        let today = chrono::DateTime::from_timestamp_millis(ctx.now().0).unwrap_or_default().date_naive();
        let sifted = sift(scanned.findings, &ignore, today);
        tell(ctx, &scanned.tool, scanned.suppressed, &sifted).await;
        remember(ctx, "reported", || async {
            let counts = counts(&sifted.counted);
            ctx.report(TaskReport::Findings { tool: scanned.tool.clone(), counts }).await
        })
        .await?;
        let end = keep(ctx, &scanned.tool, &sifted).await?;
        match Verdict::of(&sifted.counted, scan.fail_on) {
            Verdict::Pass => Ok(end),
            Verdict::Fail(many) => {
                let message = refusal(scan, &scanned.tool, many, &sifted.counted);
                Err(TaskError::Failed { message, ending: None, end: Box::new(end) })
            }
        }
    }
}

fn settings(spec: &TaskSpec) -> Result<&Scan, TaskError> {
    match &spec.typed {
        Typed::Scan(scan) => Ok(scan),
        other => Err(TaskError::failed(format!("\"{}\" is no scan", other.kind().name()))),
    }
}

/// Runs the scanner and reads its report.
async fn scan_once(scan: &Scan, ctx: &dyn TaskCtx) -> Result<Scanned, TaskError> {
    let file = report_of(scan);
    if !report::stays_within(&file) {
        let message = format!(
            "the report \"{file}\" of the scanner must lie in the workspace: write a relative path to \"file\""
        );
        return Err(TaskError::failed(message));
    }
    // Once, not again after a crash: the scanner may have ended meanwhile, and its report would be lost.
    remember(ctx, "room", || async {
        report::make_room(ctx.workspace(), &file)
            .map_err(|error| TaskError::because(format!("failed to make room for the report \"{file}\""), &error))
    })
    .await?;
    let history = has_history(scan, ctx);
    match scan.tool {
        ScanTool::Gitleaks { history: true } if !history => {
            ctx.log("there is no git history here: the files are searched as they stand").await;
        }
        ScanTool::Gitleaks { history: true } if ctx.workspace().join(".git/shallow").exists() => {
            ctx.log(
                "the history is shallow: only the commits that were fetched are searched (fetch-depth: 0 fetches all)",
            )
            .await;
        }
        _ => {}
    }
    let exit = ctx.exec("scan", command(scan, history)).await?;
    let failed = |why: String| TaskError::failed(did_not_run(scan, &why, &exit));
    let accepts = |code: i32| code == 0 || expected(scan).contains(&code);
    if NO_PROGRAM.contains(&exit.code) {
        return Err(failed(format!("there is no such program in its image (exit code {})", exit.code)));
    }
    if !accepts(exit.code) {
        return Err(failed(format!("it ended with exit code {}", exit.code)));
    }
    let text = read_report(ctx, &file).map_err(|error| failed(error.to_string()))?;
    let scanned = parse(scan, ctx, &text).map_err(|error| failed(error.to_string()))?;
    // A code that says "found something" beside a report that has nothing: one of them is wrong.
    if exit.code != 0 && scanned.findings.is_empty() && scanned.suppressed == 0 {
        return Err(failed(format!("it ended with exit code {}, and its report has no findings", exit.code)));
    }
    Ok(scanned)
}

fn read_report(ctx: &dyn TaskCtx, file: &str) -> Result<String, ReportError> {
    report::read(ctx.workspace(), file)
}

fn parse(scan: &Scan, ctx: &dyn TaskCtx, text: &str) -> Result<Scanned, ReportError> {
    match scan.tool {
        ScanTool::Gitleaks { .. } => gitleaks::read(text, &mut |secret| ctx.add_mask(secret)),
        ScanTool::Trivy { .. } => trivy::read(text),
        ScanTool::Sarif { .. } => sarif::read(text),
    }
}

fn report_of(scan: &Scan) -> String {
    match &scan.tool {
        ScanTool::Sarif { file, .. } => file.clone(),
        _ => format!("{}/{}.json", report::FOLDER, scan.tool_name()),
    }
}

/// Codes beside 0 with which the scanner says that it came to an end.
fn expected(scan: &Scan) -> Vec<i32> {
    match scan.tool {
        ScanTool::Gitleaks { .. } => vec![gitleaks::FOUND],
        ScanTool::Trivy { .. } => Vec::new(),
        // The usual word for "found something"; what did not run says 2 and above.
        ScanTool::Sarif { .. } => vec![1],
    }
}

fn command(scan: &Scan, history: bool) -> TaskCommand {
    let expected = expected(scan);
    match &scan.tool {
        ScanTool::Gitleaks { .. } => TaskCommand {
            argv: gitleaks::argv(history, &report_of(scan)),
            env: gitleaks::env(),
            expected,
            ..TaskCommand::default()
        },
        ScanTool::Trivy { target, severity } => {
            TaskCommand { argv: trivy::argv(target, severity, &report_of(scan)), expected, ..TaskCommand::default() }
        }
        ScanTool::Sarif { run, .. } => TaskCommand { script: Some(run.clone()), expected, ..TaskCommand::default() },
    }
}

fn has_history(scan: &Scan, around: &(impl Surroundings + ?Sized)) -> bool {
    matches!(scan.tool, ScanTool::Gitleaks { history: true }) && around.workspace().join(".git").exists()
}

/// The list of what is known. The usual file may be missing, one that is named may not.
fn ignored(scan: &Scan, around: &(impl Surroundings + ?Sized)) -> Result<Ignore, TaskError> {
    let name = scan.ignore.as_deref().unwrap_or(Scan::IGNORE);
    if !report::stays_within(name) {
        return Err(TaskError::failed(format!("\"ignore\" names \"{name}\", which is no path within the workspace")));
    }
    let path = match report::inside(around.workspace(), name) {
        Ok(path) => path,
        Err(ReportError::Missing(_)) if scan.ignore.is_none() => return Ok(Ignore::default()),
        Err(ReportError::Missing(_)) => {
            return Err(TaskError::failed(format!(
                "there is no list of known findings \"{name}\": make it, or leave \"ignore\" out"
            )));
        }
        Err(_) => {
            let message =
                format!("the list of known findings \"{name}\" leads out of the workspace, where nothing is read");
            return Err(TaskError::failed(message));
        }
    };
    let found = std::fs::metadata(&path)
        .map_err(|error| TaskError::because(format!("failed to read the list of known findings \"{name}\""), &error))?;
    if found.len() > MAX_IGNORE_BYTES {
        return Err(TaskError::failed(format!("the list of known findings \"{name}\" is larger than 1 MiB")));
    }
    let text = std::fs::read_to_string(&path)
        .map_err(|error| TaskError::because(format!("failed to read the list of known findings \"{name}\""), &error))?;
    Ignore::read(name, &text)
        .map_err(|lines| TaskError::failed(format!("the list of known findings is not right: {}", lines.join("; "))))
}

/// Says what was found, and what was set aside.
async fn tell(ctx: &dyn TaskCtx, tool: &str, suppressed: u64, sifted: &Sifted) {
    for line in table::lines(&sifted.counted) {
        ctx.log(&line).await;
    }
    for entry in &sifted.expired {
        let until = entry.until.map(|day| day.to_string()).unwrap_or_default();
        ctx.log(&format!("\"{}\" was ignored until {until} and counts again ({})", entry.id, entry.reason)).await;
    }
    for (finding, entry) in &sifted.ignored {
        let until = entry.until.map(|day| format!(" until {day}")).unwrap_or_default();
        ctx.log(&format!(
            "ignored{until}: {} {} {} ({})",
            finding.severity.name(),
            finding.id,
            finding.place(),
            entry.reason
        ))
        .await;
    }
    for entry in &sifted.idle {
        ctx.log(&format!("nothing was found that \"{}\" of the ignore file speaks of", entry.id)).await;
    }
    if suppressed > 0 {
        ctx.log(&format!("{suppressed} more were left out by {tool} itself, as it was told to")).await;
    }
    ctx.log(&format!("{tool}: {}", in_words(&sifted.counted))).await;
}

fn in_words(findings: &[Finding]) -> String {
    if findings.is_empty() {
        return "nothing found".to_owned();
    }
    let parts: Vec<String> = counts(findings).iter().map(|(severity, count)| format!("{count} {severity}")).collect();
    parts.join(", ")
}

/// Keeps the findings as files and makes the outputs.
async fn keep(ctx: &dyn TaskCtx, tool: &str, sifted: &Sifted) -> Result<TaskEnd, TaskError> {
    let sarif = ctx.keep("scan.sarif", &pretty(&write::sarif(tool, sifted))).await?;
    let json = ctx.keep("scan.json", &pretty(&write::json(tool, sifted))).await?;
    let findings = sifted.counted.len().to_string();
    Ok(TaskEnd {
        outputs: [("findings", findings), ("sarif", sarif), ("json", json)].map(|(k, v)| (k.to_owned(), v)).into(),
        facts: json!({"tool": tool, "counts": counts(&sifted.counted)}),
    })
}

fn pretty(value: &serde_json::Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}

fn did_not_run(scan: &Scan, why: &str, exit: &TaskExit) -> String {
    let name = match &scan.tool {
        ScanTool::Sarif { run, .. } => run.lines().next().unwrap_or_default().to_owned(),
        _ => scan.tool_name().to_owned(),
    };
    let tail = exit.tail.trim();
    let said = tail.lines().next_back().map(|line| format!("; its last words: {}", line.trim())).unwrap_or_default();
    format!("the scanner \"{name}\" did not do its work: {why}{said}; nothing is known about findings")
}

fn refusal(scan: &Scan, tool: &str, many: usize, counted: &[Finding]) -> String {
    let above = match scan.fail_on.name() {
        "any" => String::new(),
        "critical" => " of severity critical".to_owned(),
        gate => format!(" of severity {gate} or above"),
    };
    let first = counted.first().map(|finding| format!("{} {}", finding.id, finding.place())).unwrap_or_default();
    let findings = if many == 1 { "finding" } else { "findings" };
    let list = scan.ignore.as_deref().unwrap_or(Scan::IGNORE);
    format!(
        "{tool} has {many} {findings}{above} ({}), first {}; mend them, or list them with a reason in \"{list}\"",
        in_words(counted),
        first.trim()
    )
}
