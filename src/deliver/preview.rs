//! The dry run of a deploy: the real difference against the cluster, by server-side dry run, and the strategy's steps.

use serde_json::Value as Json;
use similar::TextDiff;

use super::release;
use super::task::{connect, goal, goes_back};
use crate::client::kube::{Cluster, KubeError};
use crate::clock::humanize;
use crate::stage::Deploy;
use crate::stage::analysis::Gate;
use crate::stage::deploy::{Keep, StrategyName, SwitchBy, Traffic};
use crate::task::contract::{Preview, PreviewLine, Surroundings, TaskError, TaskSpec};

/// Lines of one difference that are shown.
const MAX_DIFF: usize = 60;

/// What a deploy would do.
pub async fn of_deploy(spec: &TaskSpec, around: &dyn Surroundings) -> Result<Preview, TaskError> {
    let goal = goal(spec, around)?;
    let (rendered, namespace) = goal.rendered(around)?;
    let mut preview = Preview::default();
    if let Some(environment) = &goal.environment {
        preview = preview.effect(format!("environment {environment}"));
    }
    if around.is_offline() {
        preview = preview.effect(format!("namespace {namespace}, the cluster is not asked"));
        for object in &rendered.objects {
            preview = preview.effect(format!("apply {}", named(object)));
        }
    } else {
        match connect(spec).await {
            Ok(cluster) => {
                preview = preview.effect(format!("namespace {namespace} of {}", cluster.target()));
                changes(&cluster, &namespace, &goal.app, &rendered.objects, &mut preview).await?;
            }
            Err(error) => preview.refused.push(error.to_string()),
        }
    }
    if goal.built.is_empty() && rendered.images.iter().any(|(_, image)| !image.contains('@')) {
        preview.unknown.push("digests of images that the run builds".to_owned());
    }
    if rendered.migrate.is_some() {
        preview = preview.effect("run the migration, once".to_owned());
    }
    steps(goal.spec, &mut preview);
    Ok(preview)
}

async fn changes(
    cluster: &Cluster,
    namespace: &str,
    app: &str,
    objects: &[Json],
    preview: &mut Preview,
) -> Result<(), TaskError> {
    let releases = match release::list(cluster, namespace, app).await {
        Ok(releases) => releases,
        Err(KubeError::Unreachable { what, reason }) => {
            preview.refused.push(format!("{what}: {reason}"));
            return Ok(());
        }
        Err(error) => {
            preview.unknown.push(crate::diagnostic::chain(&error));
            Vec::new()
        }
    };
    match release::serving(&releases) {
        Some(serving) => {
            let images: Vec<&str> = serving.images.iter().map(|(_, image)| image.as_str()).collect();
            let text = format!("release {} serves ({}): {}", serving.number, serving.strategy, images.join(", "));
            preview.lines.push(PreviewLine::Effect { text });
        }
        None => preview.lines.push(PreviewLine::Effect { text: "no release is on record".to_owned() }),
    }
    for object in objects {
        let space = object["metadata"]["namespace"].as_str().map(str::to_owned);
        let line = |verb: &str, diff| PreviewLine::Change {
            verb: verb.to_owned(),
            object: named(object),
            namespace: space.clone(),
            diff,
        };
        let tried = match cluster.dry_apply(object).await {
            Ok(tried) => tried,
            Err(KubeError::NotFound { .. }) => {
                // The namespace comes with the deploy, or must be made.
                preview.lines.push(line("create", Vec::new()));
                continue;
            }
            Err(error) => {
                preview.refused.push(crate::diagnostic::chain(&error));
                continue;
            }
        };
        let kind = cluster.kind_of(object).await?;
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let live = cluster.find(&kind, space.as_deref().unwrap_or_default(), name).await?;
        preview.lines.push(match live {
            None => line("create", Vec::new()),
            Some(live) => {
                let (old, new) = (shown(&live), shown(&tried));
                if old == new { line("same", Vec::new()) } else { line("change", diff(&old, &new)) }
            }
        });
    }
    Ok(())
}

/// An object as it is compared: without what the server keeps, values of Secrets as stars that tell only whether they are the
/// same.
fn shown(object: &Json) -> String {
    let mut object = object.clone();
    if let Some(map) = object.as_object_mut() {
        map.shift_remove("status");
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for key in ["managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "selfLink"] {
            metadata.shift_remove(key);
        }
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Json::as_object_mut) {
            annotations
                .retain(|key, _| !key.starts_with("slipway.dev/") && !key.starts_with("deployment.kubernetes.io/"));
            if annotations.is_empty() {
                metadata.shift_remove("annotations");
            }
        }
    }
    if object["kind"] == "Secret" {
        for key in ["data", "stringData"] {
            for (_, value) in object[key].as_object_mut().into_iter().flatten() {
                let text = value.to_string();
                *value = Json::from(format!(
                    "*** ({})",
                    &crate::workspace::contract::hex(&<sha2::Sha256 as sha2::Digest>::digest(text.as_bytes()))[..4]
                ));
            }
        }
    }
    sorted(&object, 0)
}

/// Plain text in the manner of YAML, keys in order, so that a difference is of lines.
fn sorted(value: &Json, depth: usize) -> String {
    let pad = "  ".repeat(depth);
    match value {
        Json::Object(map) if !map.is_empty() => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            keys.iter()
                .map(|key| match &map[*key] {
                    inner @ (Json::Object(_) | Json::Array(_)) if !empty(inner) => {
                        format!("{pad}{key}:\n{}", sorted(inner, depth + 1))
                    }
                    inner => format!("{pad}{key}: {}\n", scalar(inner)),
                })
                .collect()
        }
        Json::Array(items) if !items.is_empty() => items
            .iter()
            .map(|item| match item {
                Json::Object(_) | Json::Array(_) if !empty(item) => format!("{pad}-\n{}", sorted(item, depth + 1)),
                item => format!("{pad}- {}\n", scalar(item)),
            })
            .collect(),
        other => format!("{pad}{}\n", scalar(other)),
    }
}

fn empty(value: &Json) -> bool {
    value.as_object().is_some_and(serde_json::Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
}

fn scalar(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn diff(old: &str, new: &str) -> Vec<String> {
    let text = TextDiff::from_lines(old, new).unified_diff().context_radius(1).to_string();
    let mut lines: Vec<String> =
        text.lines().filter(|line| !line.starts_with("@@") && !line.starts_with('\\')).map(masked).collect();
    if lines.len() > MAX_DIFF {
        let more = lines.len() - MAX_DIFF;
        lines.truncate(MAX_DIFF);
        lines.push(format!("  ... {more} lines more"));
    }
    lines
}

/// The few letters that told values of a Secret apart go: `changed` is enough to know.
fn masked(line: &str) -> String {
    match line.split_once("*** (") {
        Some((head, _)) if line.starts_with(['+', '-']) => format!("{head}*** (changed)"),
        Some((head, _)) => format!("{head}*** (same)"),
        None => line.to_owned(),
    }
}

fn named(object: &Json) -> String {
    format!(
        "{}/{}",
        object["kind"].as_str().unwrap_or_default(),
        object["metadata"]["name"].as_str().unwrap_or_default()
    )
}

/// The strategy's steps with their times.
fn steps(spec: &Deploy, preview: &mut Preview) {
    let gates = gates(spec);
    let mut step = |text: String, time: std::time::Duration| {
        preview
            .lines
            .push(PreviewLine::Step { text, milliseconds: u64::try_from(time.as_millis()).unwrap_or(u64::MAX) });
    };
    let zero = std::time::Duration::ZERO;
    match (spec.strategy, &spec.blue_green, &spec.canary) {
        (StrategyName::BlueGreen, Some(settings), _) => {
            let by = match &settings.by {
                SwitchBy::Service(name) => format!("service {name}"),
                SwitchBy::Ingress(name) => format!("ingress {name}"),
                SwitchBy::Route(name) => format!("route {name}"),
            };
            let (one, two) = &settings.colours;
            step(format!("blue-green: the colour of {one} and {two} that does not serve comes up at full size"), zero);
            step(format!("switch all traffic by {by}, in one write"), spec.settle);
            step(format!("watch for {}{gates}", humanize(spec.watch)), spec.watch);
            let keep = match settings.keep {
                Keep::For(time) => humanize(time),
                Keep::NextRelease => "the next release".to_owned(),
            };
            step(format!("the old colour stays until {keep}"), zero);
        }
        (StrategyName::Canary, _, Some(settings)) => {
            let by = match &settings.traffic {
                Traffic::None => "pods".to_owned(),
                Traffic::Nginx { ingress, .. } => format!("ingress {ingress}"),
                Traffic::Gateway { route, .. } => format!("route {route}"),
                Traffic::Istio { virtual_service, .. } => format!("virtual service {virtual_service}"),
            };
            step(format!("canary: weights by {by}"), zero);
            for one in settings.steps.iter().filter(|one| one.weight < 100) {
                let watch = one.watch.unwrap_or(spec.watch);
                let rest =
                    if one.on_fail > 0 { format!(", failing rests at {} %", one.on_fail) } else { String::new() };
                let pause = if one.pause { ", then waits for `deploy promote`" } else { "" };
                let text =
                    format!("{} % of traffic for {}{gates}{rest}{pause}", one.weight, humanize(spec.settle + watch));
                step(text, spec.settle + watch);
            }
            step(
                "promote: the stable side gets the new version, then all traffic".to_owned(),
                spec.drain.unwrap_or(std::time::Duration::from_secs(30)),
            );
        }
        _ => {
            step("rolling: pods are replaced a few at a time".to_owned(), zero);
            if !spec.watch.is_zero() {
                step(format!("watch for {}{gates}", humanize(spec.watch)), spec.watch);
            }
        }
    }
    let fails = if goes_back(spec) { "a failing gate takes the release back" } else { "a failing gate pages a person" };
    step(fails.to_owned(), zero);
}

fn gates(spec: &Deploy) -> String {
    let analysis = &spec.analysis;
    let mut list = Vec::new();
    let limits = |gate: &Gate, unit: &str, factor: f64| {
        let mut parts = Vec::new();
        parts.extend(gate.max.map(|max| format!("{}{unit}", max * factor)));
        parts.extend(gate.max_delta.map(|delta| format!("{} points over the old version", delta * 100.0)));
        parts.extend(gate.max_ratio.map(|ratio| format!("{ratio} times the old version")));
        parts.join(", ")
    };
    if let Some(gate) = &analysis.errors {
        list.push(format!("errors {}", limits(gate, " %", 100.0)));
    }
    for (quantile, gate) in &analysis.quantiles {
        list.push(format!("p{quantile} {}", limits(gate, " s", 1.0)));
    }
    list.push(format!("restarts {}", analysis.restarts.unwrap_or(0)));
    list.extend(analysis.queries.iter().map(|(name, _, gate)| format!("{name} {}", limits(gate, "", 1.0))));
    format!("; gates: {}", list.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_of_secrets_are_stars_that_tell_only_whether_they_changed() {
        let secret = |a: &str, b: &str| json!({"kind": "Secret", "metadata": {"name": "s", "uid": "x"}, "data": {"a": a, "b": b}});
        let lines = diff(&shown(&secret("b25l", "c2FtZQ==")), &shown(&secret("dHdv", "c2FtZQ==")));
        let text = lines.join("\n");
        assert!(text.contains("+  a: *** (changed)") && text.contains("   b: *** (same)"), "{text}");
        assert!(!text.contains("dHdv") && !text.contains("b25l"), "{text}");
    }

    #[test]
    fn a_difference_is_of_lines() {
        let of = |image: &str| json!({"kind": "Deployment", "spec": {"template": {"spec": {"containers": [{"image": image}]}}}, "status": {"x": 1}});
        let lines = diff(&shown(&of("a:1")), &shown(&of("a:2")));
        assert!(
            lines.contains(&"-          image: a:1".to_owned()) && lines.contains(&"+          image: a:2".to_owned()),
            "{lines:?}"
        );
        assert!(!lines.iter().any(|line| line.contains("status")));
    }
}
