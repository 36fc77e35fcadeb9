//! `slipway graph`: a pipeline's DAG as a drawing on standard output.

use std::io::{self, IsTerminal, Write};

use console::Term;

use crate::cli::load::{LoadArgs, Loaded, load_all};
use crate::exit::Exit;
use crate::report::dag::{self, DagView};
use crate::report::diagnostic;
use crate::report::style::wants_color_here;

/// Columns where no terminal says how many there are.
const COLUMNS: usize = 100;

/// Draws the DAG.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to draw.
    #[command(flatten)]
    pub load: LoadArgs,
    /// How it is drawn
    #[arg(long, value_enum, default_value_t = Format::Ascii)]
    pub format: Format,
}

/// `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Boxes and lines for a terminal, or a list when there are too many
    Ascii,
    /// A Mermaid flowchart
    Mermaid,
    /// A digraph for Graphviz
    Dot,
    /// An SVG file
    Svg,
}

/// Runs the command. What cannot be written (a closed pipe) is let go.
pub fn run(args: &Args) -> Exit {
    let color = wants_color_here(io::stderr().is_terminal());
    let loaded = match load_all(&args.load, color) {
        Ok(loaded) => loaded,
        Err((text, exit)) => {
            let _ = io::stderr().write_all(text.as_bytes());
            return exit;
        }
    };
    for one in &loaded {
        let _ = io::stderr().write_all(diagnostic::text(&one.diagnostics, color).as_bytes());
    }
    let columns = Term::stdout().size_checked().map_or(COLUMNS, |(_, columns)| usize::from(columns));
    match draw(&loaded, args.format, columns) {
        Ok(drawing) => {
            let _ = io::stdout().write_all(drawing.as_bytes());
            Exit::Success
        }
        Err(message) => {
            let _ = writeln!(io::stderr(), "error: {message}");
            Exit::Usage
        }
    }
}

/// Several files are drawn one below the other where the format can hold that.
fn draw(loaded: &[Loaded], format: Format, columns: usize) -> Result<String, String> {
    let view = |one: &Loaded| DagView::of_plan(&one.plan);
    match (format, loaded) {
        (Format::Ascii, [one]) => Ok(dag::ascii(&view(one), columns)),
        (Format::Ascii, all) => {
            let head = |one: &Loaded| format!("{} ({})\n\n", one.plan.name, one.plan.inputs.file);
            let drawings: Vec<String> = all.iter().map(|one| head(one) + &dag::ascii(&view(one), columns)).collect();
            Ok(drawings.join("\n"))
        }
        (Format::Mermaid, [one]) => Ok(dag::mermaid(&view(one))),
        (Format::Dot, [one]) => Ok(dag::dot(&view(one))),
        (Format::Svg, [one]) => Ok(dag::svg(&view(one))),
        (_, all) => {
            let names: Vec<&str> = all.iter().map(|one| one.plan.inputs.file.as_str()).collect();
            Err(format!("a drawing of this format holds one pipeline, and there are {}; name one", names.join(", ")))
        }
    }
}
