//! Manifests: files of the commit to objects. Expressions in values are evaluated after the YAML is read, so what they give
//! stays one value.

use std::path::{Path, PathBuf};

use globset::GlobBuilder;
use serde_json::Value as Json;

use crate::model::{Node, NodeKind, ScalarStyle, documents};
use crate::stage::settings::json_of;
use crate::task::contract::{Surroundings, TaskError};

/// A file larger than this is no manifest.
const MAX_FILE: u64 = 4 << 20;
/// So many objects at most.
const MAX_OBJECTS: usize = 2000;

/// Reads the objects of `names` (files, folders, globs, from the workspace), without the files in `without`. Of two objects of
/// one kind and name the later wins.
pub fn read(around: &dyn Surroundings, names: &[String], without: &[&str]) -> Result<Vec<Json>, TaskError> {
    let root = around.workspace();
    let left_out: Vec<PathBuf> = without.iter().map(|name| root.join(name)).collect();
    let mut objects: Vec<Json> = Vec::new();
    for name in names {
        for path in files(root, name)? {
            if left_out.contains(&path) {
                continue;
            }
            for object in of_file(around, root, &path)? {
                objects.retain(|known| identity(known) != identity(&object));
                objects.push(object);
            }
        }
    }
    if objects.is_empty() {
        return Err(TaskError::failed(format!("no object stands in the manifests {}", names.join(", "))));
    }
    if objects.len() > MAX_OBJECTS {
        return Err(TaskError::failed(format!("the manifests hold more than {MAX_OBJECTS} objects")));
    }
    Ok(objects)
}

/// The objects of one file.
pub fn of_file(around: &dyn Surroundings, root: &Path, path: &Path) -> Result<Vec<Json>, TaskError> {
    let shown = path.strip_prefix(root).unwrap_or(path).display().to_string();
    let failed = |e: std::io::Error| TaskError::failed(format!("failed to read the manifest \"{shown}\": {e}"));
    // A link must not lead out of the commit's files.
    let real = path.canonicalize().map_err(failed)?;
    if !real.starts_with(root.canonicalize().map_err(failed)?) {
        return Err(TaskError::failed(format!("the manifest \"{shown}\" is outside of the workspace")));
    }
    if std::fs::metadata(&real).map_err(failed)?.len() > MAX_FILE {
        return Err(TaskError::failed(format!("the manifest \"{shown}\" is larger than {} MiB", MAX_FILE >> 20)));
    }
    let text = std::fs::read_to_string(&real).map_err(failed)?;
    let mut objects = Vec::new();
    for node in documents(&shown, &text).map_err(TaskError::failed)? {
        let node = evaluated(around, &node).map_err(|e| TaskError::failed(format!("{shown}: {e}")))?;
        let object = json_of(&node);
        let items = if object["kind"] == "List" { object["items"].as_array().cloned() } else { None };
        for object in items.unwrap_or_else(|| vec![object]) {
            let has =
                |pointer: &str| object.pointer(pointer).and_then(Json::as_str).is_some_and(|text| !text.is_empty());
            if !has("/apiVersion") || !has("/kind") || !has("/metadata/name") {
                return Err(TaskError::failed(format!(
                    "{shown}: an object needs apiVersion, kind and metadata.name; this has {}",
                    object.as_object().map_or_else(String::new, |map| map
                        .keys()
                        .cloned()
                        .collect::<Vec<_>>()
                        .join(", "))
                )));
            }
            objects.push(object);
        }
    }
    Ok(objects)
}

/// Kind, namespace and name: what tells objects apart.
pub fn identity(object: &Json) -> (String, String, String) {
    let text = |pointer: &str| object.pointer(pointer).and_then(Json::as_str).unwrap_or_default().to_owned();
    // Versions of one group are one kind.
    let group = text("/apiVersion").rsplit_once('/').map_or(String::new(), |(group, _)| group.to_owned());
    (format!("{}.{group}", text("/kind")), text("/metadata/namespace"), text("/metadata/name"))
}

/// Evaluates expressions in values. One that stands alone and unquoted has the type that its text has in YAML.
fn evaluated(around: &dyn Surroundings, node: &Node) -> Result<Node, String> {
    let kind = match &*node.kind {
        NodeKind::Scalar { text, style } if text.contains("${{") => {
            let text = around.evaluate(text)?;
            let style = if *style == ScalarStyle::Plain { ScalarStyle::Plain } else { ScalarStyle::Quoted };
            NodeKind::Scalar { text: text.into(), style }
        }
        NodeKind::Scalar { .. } => return Ok(node.clone()),
        NodeKind::Sequence(items) => {
            NodeKind::Sequence(items.iter().map(|item| evaluated(around, item)).collect::<Result<_, _>>()?)
        }
        NodeKind::Mapping(entries) => {
            let mut out = Vec::with_capacity(entries.len());
            for entry in entries {
                out.push(crate::model::Entry { value: evaluated(around, &entry.value)?, ..entry.clone() });
            }
            NodeKind::Mapping(out)
        }
    };
    Ok(Node { span: node.span, kind: kind.into() })
}

/// The files that `name` stands for, sorted.
fn files(root: &Path, name: &str) -> Result<Vec<PathBuf>, TaskError> {
    let path = root.join(name);
    let is_manifest = |path: &Path| {
        path.extension().and_then(|end| end.to_str()).is_some_and(|end| matches!(end, "yml" | "yaml" | "json"))
    };
    let mut found = Vec::new();
    if path.is_dir() {
        let entries = std::fs::read_dir(&path);
        let entries = entries.map_err(|e| TaskError::failed(format!("failed to read the folder \"{name}\": {e}")))?;
        found.extend(entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file() && is_manifest(path)));
    } else if path.is_file() {
        found.push(path);
    } else if name.contains(['*', '?', '[', '{']) {
        let glob = GlobBuilder::new(name.trim_start_matches("./")).literal_separator(true).build();
        let glob = glob.map_err(|e| TaskError::failed(format!("\"{name}\" is no pattern: {e}")))?.compile_matcher();
        let walk = ignore::WalkBuilder::new(root).standard_filters(false).follow_links(false).build();
        let within = walk.flatten().filter(|entry| entry.file_type().is_some_and(|kind| kind.is_file()));
        found.extend(
            within
                .map(ignore::DirEntry::into_path)
                .filter(|path| path.strip_prefix(root).is_ok_and(|path| glob.is_match(path))),
        );
    }
    if found.is_empty() {
        return Err(TaskError::failed(format!(
            "\"{name}\" names no manifest: there is no such file or folder in the commit"
        )));
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::testing::TestCtx;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        folder
    }

    const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: v1}\n";

    #[test]
    fn later_files_win_and_named_ones_are_left_out() {
        let two = format!(
            "{}---\n# nothing\n---\napiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\n",
            MAP.replace("v1}", "v2}")
        );
        let folder =
            folder(&[("base/a.yaml", MAP), ("base/job.yaml", &MAP.replace("ConfigMap", "Job")), ("over/b.yml", &two)]);
        let ctx = TestCtx::new(folder.path(), folder.path());
        let names = ["base/".to_owned(), "over/*.yml".to_owned()];
        let objects = read(&ctx, &names, &["base/job.yaml"]).unwrap();
        let shown: Vec<String> = objects.iter().map(|o| format!("{} {}", o["kind"], o["data"]["k"])).collect();
        assert_eq!(shown, ["\"ConfigMap\" \"v2\"", "\"Secret\" null"]);
    }

    #[test]
    fn mistakes_name_file_and_line() {
        let folder = folder(&[("a.yaml", &format!("{MAP}---\nkind: [\n")), ("b.yaml", "a: 1\n")]);
        let ctx = TestCtx::new(folder.path(), folder.path());
        let error = |name: &str| read(&ctx, &[name.to_owned()], &[]).unwrap_err().to_string();
        assert!(error("a.yaml").starts_with("a.yaml:"), "{}", error("a.yaml"));
        assert!(error("b.yaml").contains("needs apiVersion"), "{}", error("b.yaml"));
        assert!(error("c.yaml").contains("no such file"), "{}", error("c.yaml"));
        std::os::unix::fs::symlink("/etc/hostname", folder.path().join("out.yaml")).unwrap();
        assert!(error("out.yaml").contains("outside of the workspace"));
    }
}
