//! BuildKit's progress as lines.

use std::collections::HashMap;

use bollard::moby::buildkit::v1::StatusResponse;

/// Numbers the steps in the order in which they begin, as BuildKit's own client does.
#[derive(Debug, Default)]
pub struct Trace {
    steps: HashMap<String, Step>,
    begun: usize,
}

#[derive(Debug, Default)]
struct Step {
    number: usize,
    over: bool,
    /// The begin of a line whose end has not come.
    open: String,
}

impl Trace {
    /// The lines that this piece of progress adds.
    pub fn lines(&mut self, status: StatusResponse) -> Vec<String> {
        let mut lines = Vec::new();
        for vertex in status.vertexes.iter().filter(|vertex| vertex.started.is_some()) {
            if !self.steps.contains_key(&vertex.digest) {
                self.begun += 1;
                self.steps.insert(vertex.digest.clone(), Step { number: self.begun, ..Step::default() });
                lines.push(format!("#{} {}", self.begun, vertex.name));
            }
        }
        // What a step said comes before its end.
        for log in status.logs {
            let Some(step) = self.steps.get_mut(&log.vertex) else { continue };
            step.open.push_str(&String::from_utf8_lossy(&log.msg));
            while let Some(end) = step.open.find('\n') {
                let line: String = step.open.drain(..=end).collect();
                lines.push(format!("#{} {}", step.number, line.trim_end()));
            }
        }
        for vertex in status.vertexes.into_iter().filter(|vertex| vertex.completed.is_some()) {
            let Some(step) = self.steps.get_mut(&vertex.digest).filter(|step| !step.over) else { continue };
            step.over = true;
            if !step.open.is_empty() {
                lines.push(format!("#{} {}", step.number, std::mem::take(&mut step.open).trim_end()));
            }
            lines.push(match () {
                () if !vertex.error.is_empty() => format!("#{} failed: {}", step.number, vertex.error),
                () if vertex.cached => format!("#{} cached", step.number),
                () => format!("#{} done", step.number),
            });
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard::moby::buildkit::v1::{Vertex, VertexLog};

    #[test]
    fn steps_are_numbered_and_their_words_are_whole_lines() {
        let mut begun = Vertex { digest: "a".to_owned(), name: "[1/2] FROM b".to_owned(), ..Vertex::default() };
        begun.started = Some(Default::default());
        let mut done = begun.clone();
        done.completed = Some(Default::default());
        let log = |text: &str| VertexLog { vertex: "a".to_owned(), msg: text.into(), ..VertexLog::default() };
        let status = |vertexes: Vec<Vertex>, logs| StatusResponse { vertexes, logs, ..StatusResponse::default() };
        let mut trace = Trace::default();
        assert_eq!(trace.lines(status(vec![begun.clone()], vec![log("one\ntw")])), ["#1 [1/2] FROM b", "#1 one"]);
        assert_eq!(trace.lines(status(vec![done.clone()], vec![log("o")])), ["#1 two", "#1 done"]);
        assert_eq!(trace.lines(status(vec![done], vec![])), Vec::<String>::new());
    }
}
