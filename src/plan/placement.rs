//! Where a job runs, and why (design section 5, "What runs"). Pure: whether an engine answers is the caller's to ask.

use crate::expr::{Scope, Value};
use crate::model::Job;

use super::ir::{Placement, RunnerChoice, RunnerKind};

/// Images of `-P` that stand for the host: act's word, and a plain one.
const HOST_WORDS: &[&str] = &["-self-hosted", "host"];

/// Where a job runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The runner.
    pub kind: RunnerKind,
    /// The image that it runs in; `None` on the host.
    pub image: Option<String>,
    /// Why there, for people: `its image`, `-P ubuntu-latest`.
    pub why: String,
}

impl Placed {
    fn host(why: impl Into<String>) -> Self {
        Self { kind: RunnerKind::Host, image: None, why: why.into() }
    }
}

/// What `-P` says of a job's labels.
enum Mapped {
    Image(String, String),
    Host(String),
    Nothing,
}

/// Where `job` runs. `scope` has what the job's `container` and `runs-on` may read; what has no value in it is an error, as
/// is a stage without an image under `--runner docker`. Errors name the stage and the way out.
pub fn place(job: &Job, placement: &Placement, scope: &dyn Scope) -> Result<Placed, String> {
    let stage = &job.id.value;
    let image = match &job.container {
        Some(container) => {
            let text = container.image.template.evaluate_text(scope);
            text.map_err(|e| format!("the image of stage \"{stage}\" has no value: {}", e.message))?.trim().to_owned()
        }
        None => String::new(),
    };
    if let Some(kind) = crate::stage::kind_of(job)
        && !kind.runs_programs()
    {
        return Ok(Placed { kind: RunnerKind::Engine, image: None, why: format!("a {} runs no program", kind.name()) });
    }
    let image = (!image.is_empty()).then_some(image).or_else(|| crate::stage::default_image(job).map(str::to_owned));
    if placement.runner == RunnerChoice::Host {
        return Ok(Placed::host(match image {
            Some(image) => format!("--runner host; image \"{image}\" is ignored"),
            None => "--runner host; images are ignored".to_owned(),
        }));
    }
    let labels = labels(job, scope)?;
    let mapped = if image.is_some() { Mapped::Nothing } else { mapped(&labels, placement) };
    match (placement.runner, image, mapped) {
        (RunnerChoice::Scripted, Some(image), _) | (RunnerChoice::Scripted, None, Mapped::Image(image, _)) => {
            Ok(Placed { kind: RunnerKind::Scripted, image: Some(image), why: "--runner scripted".to_owned() })
        }
        (RunnerChoice::Scripted, None, _) => {
            Ok(Placed { kind: RunnerKind::Scripted, image: None, why: "--runner scripted".to_owned() })
        }
        (_, Some(image), _) => Ok(Placed { kind: RunnerKind::Docker, image: Some(image), why: "its image".to_owned() }),
        (_, None, Mapped::Image(image, label)) => {
            Ok(Placed { kind: RunnerKind::Docker, image: Some(image), why: format!("-P {label}") })
        }
        (RunnerChoice::Docker, None, _) => Err(format!(
            "stage \"{stage}\" has no image, and --runner docker runs everything in Docker: give it \"image:\", or say {}",
            match labels.first() {
                Some(label) => format!("-P {label}=IMAGE"),
                None => "-P LABEL=IMAGE with a \"runs-on\" of that label".to_owned(),
            }
        )),
        (_, None, Mapped::Host(label)) => Ok(Placed::host(format!("-P {label} says host"))),
        (_, None, Mapped::Nothing) => Ok(Placed::host(match labels.first() {
            Some(label) => {
                format!("runs-on \"{}\" is this host; -P {label}=IMAGE would run it in Docker", labels.join(", "))
            }
            None => "it has no image".to_owned(),
        })),
    }
}

/// The labels of `runs-on`, evaluated. An expression may give a list as JSON does on GitHub.
pub(super) fn labels(job: &Job, scope: &dyn Scope) -> Result<Vec<String>, String> {
    let mut labels = Vec::new();
    for label in job.runs_on.iter().flat_map(|runs_on| &runs_on.labels) {
        let value = label
            .template
            .evaluate(scope)
            .map_err(|e| format!("\"runs-on\" of stage \"{}\" has no value: {}", job.id.value, e.message))?;
        match value {
            Value::Array(items) => labels.extend(items.iter().map(|item| item.to_text())),
            // `{group, labels}` as an object.
            Value::Object(object) => match object.get("labels") {
                Some(Value::Array(items)) => labels.extend(items.iter().map(|item| item.to_text())),
                Some(one) => labels.push(one.to_text()),
                None => {}
            },
            one => labels.push(one.to_text()),
        }
    }
    labels.retain(|label| !label.is_empty());
    Ok(labels)
}

/// The first label for which `-P` has an answer; of two answers the later wins, as options do.
fn mapped(labels: &[String], placement: &Placement) -> Mapped {
    for label in labels {
        let given = placement.platforms.iter().rev().find(|(name, _)| name.eq_ignore_ascii_case(label));
        if let Some((_, image)) = given {
            return if HOST_WORDS.contains(&image.as_str()) {
                Mapped::Host(label.clone())
            } else {
                Mapped::Image(image.clone(), label.clone())
            };
        }
    }
    Mapped::Nothing
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::contexts::Base;
    use crate::plan::testing::{inputs, pipeline};

    fn place_of(stage: &str, runner: RunnerChoice, platforms: &[(&str, &str)]) -> Result<Placed, String> {
        let pipeline = pipeline(&format!("stages:\n  s: {stage}\n"));
        let platforms = platforms.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let placement = Placement { runner, platforms, ..Placement::default() };
        place(&pipeline.jobs[0], &placement, &Base::new(&inputs()).scope())
    }

    fn short(placed: Result<Placed, String>) -> String {
        placed.map_or_else(|e| e, |p| format!("{:?} {} {}", p.kind, p.image.unwrap_or_else(|| "-".into()), p.why))
    }

    #[test]
    fn an_image_means_docker_and_none_the_host() {
        let auto = |stage: &str, platforms: &[(&str, &str)]| short(place_of(stage, RunnerChoice::Auto, platforms));
        assert_eq!(auto("{image: 'a:1', run: x}", &[]), "Docker a:1 its image");
        assert_eq!(auto("{image: \"${{ github.ref == 'x' && 'a:1' || '' }}\", run: x}", &[]), "Host - it has no image");
        assert_eq!(auto("{runs-on: l, run: x}", &[("L", "a:1"), ("l", "b:2")]), "Docker b:2 -P l");
        assert_eq!(auto("{runs-on: l, run: x}", &[("l", "-self-hosted")]), "Host - -P l says host");
        assert_eq!(
            auto("{runs-on: [l, m], run: x}", &[("z", "a")]),
            "Host - runs-on \"l, m\" is this host; -P l=IMAGE would run it in Docker"
        );
        assert_eq!(auto("{runs-on: l, image: 'a:1', run: x}", &[("l", "host")]), "Docker a:1 its image");
    }

    #[test]
    fn a_runner_that_is_named_is_taken() {
        assert_eq!(
            short(place_of("{image: 'a:1', run: x}", RunnerChoice::Host, &[])),
            "Host - --runner host; image \"a:1\" is ignored"
        );
        let refused = short(place_of("{runs-on: l, run: x}", RunnerChoice::Docker, &[("l", "host")]));
        assert!(refused.contains("stage \"s\" has no image") && refused.contains("-P l=IMAGE"), "{refused}");
        assert_eq!(
            short(place_of("{image: 'a:1', run: x}", RunnerChoice::Scripted, &[])),
            "Scripted a:1 --runner scripted"
        );
    }
}
