//! Images in manifests: names are replaced by digests that the run built, or by what `images` says.

use serde_json::Value as Json;

/// Replaces images of every pod template in `objects`. `named` are the file's (`images`: a container's or an image's name, and
/// what stands in its place); `built` are references by digest, for images of the same name. Gives what each container runs.
pub fn replace(objects: &mut [Json], named: &[(String, String)], built: &[String]) -> Vec<(String, String)> {
    let mut out = Vec::new();
    for object in objects {
        let Some(spec) = pod_spec_mut(object) else { continue };
        for list in ["initContainers", "containers"] {
            for container in spec[list].as_array_mut().into_iter().flatten() {
                let name = container["name"].as_str().unwrap_or_default().to_owned();
                let Some(image) = container["image"].as_str().map(str::to_owned) else { continue };
                let is_same = |other: &str| repository(other) == repository(&image);
                let given = named.iter().find(|(key, _)| *key == name || is_same(key)).map(|(_, image)| image.clone());
                let image = given.or_else(|| built.iter().rev().find(|built| is_same(built)).cloned()).unwrap_or(image);
                container["image"] = Json::from(image.as_str());
                if list == "containers" {
                    out.push((name, image));
                }
            }
        }
    }
    out.sort();
    out.dedup();
    out
}

/// The name of an image without tag and digest: `reg:5000/a/b:1@sha256:x` is `reg:5000/a/b`.
pub fn repository(image: &str) -> &str {
    let image = image.split('@').next().unwrap_or(image);
    match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => image,
    }
}

/// The pod template's `spec` of an object that has one.
pub fn pod_spec_mut(object: &mut Json) -> Option<&mut Json> {
    let pointer = match object["kind"].as_str()? {
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Job" => "/spec/template/spec",
        "CronJob" => "/spec/jobTemplate/spec/template/spec",
        "Pod" => "/spec",
        _ => return None,
    };
    object.pointer_mut(pointer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn digests_stand_in_the_place_of_names() {
        let deployment = json!({"kind": "Deployment", "spec": {"template": {"spec": {
            "initContainers": [{"name": "init", "image": "reg:5000/app:old"}],
            "containers": [{"name": "web", "image": "reg:5000/app"}, {"name": "side", "image": "other:1"}]}}}});
        let mut objects = vec![deployment];
        let named = [("side".to_owned(), "other@sha256:cc".to_owned())];
        let images =
            replace(&mut objects, &named, &["reg:5000/app@sha256:aa".to_owned(), "reg/app@sha256:bb".to_owned()]);
        assert_eq!(
            images,
            [
                ("side".to_owned(), "other@sha256:cc".to_owned()),
                ("web".to_owned(), "reg:5000/app@sha256:aa".to_owned())
            ]
        );
        assert_eq!(objects[0]["spec"]["template"]["spec"]["initContainers"][0]["image"], "reg:5000/app@sha256:aa");
    }

    #[test]
    fn a_port_is_no_tag() {
        assert_eq!(repository("reg:5000/app"), "reg:5000/app");
        assert_eq!(repository("reg:5000/app:1.2@sha256:x"), "reg:5000/app");
        assert_eq!(repository("app:1"), "app");
    }
}
