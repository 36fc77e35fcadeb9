//! ConfigMaps and Secrets by content: each content has a name of its own, so that pods of two versions read their own, and a
//! way back finds the old one.

use std::collections::BTreeMap;

use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use super::images::pod_spec_mut;
use crate::workspace::contract::hex;

/// Gives ConfigMaps and Secrets names with a hash of their content, wherever `objects` name them.
pub fn rename(objects: &mut [Json]) {
    let mut names: BTreeMap<(&'static str, String), String> = BTreeMap::new();
    let by_others = named_by_others(objects);
    for object in objects.iter_mut() {
        let kind = match object["kind"].as_str() {
            Some("ConfigMap") => "ConfigMap",
            Some("Secret") if matches!(object["type"].as_str(), None | Some("Opaque")) => "Secret",
            _ => continue,
        };
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        if by_others.contains(&name) {
            continue;
        }
        let content = [&object["data"], &object["stringData"], &object["binaryData"]].map(Json::to_string).join("\n");
        let hashed = format!("{name}-{}", &hex(&Sha256::digest(content.as_bytes()))[..8]);
        object["metadata"]["name"] = Json::from(hashed.as_str());
        names.insert((kind, name), hashed);
    }
    for object in objects.iter_mut() {
        if let Some(spec) = pod_spec_mut(object) {
            point(spec, &names);
        }
    }
}

/// Names that stand elsewhere than in pods (TLS of an Ingress): they stay.
fn named_by_others(objects: &[Json]) -> Vec<String> {
    let ingresses = objects.iter().filter(|object| object["kind"] == "Ingress");
    let tls = ingresses.flat_map(|object| object["spec"]["tls"].as_array().into_iter().flatten());
    tls.filter_map(|tls| tls["secretName"].as_str().map(str::to_owned)).collect()
}

/// Every place of a pod's spec that names a ConfigMap or Secret.
fn point(spec: &mut Json, names: &BTreeMap<(&'static str, String), String>) {
    let set = |place: &mut Json, kind: &'static str, key: &str| {
        let known = place[key].as_str().and_then(|name| names.get(&(kind, name.to_owned())));
        if let Some(hashed) = known {
            place[key] = Json::from(hashed.as_str());
        }
    };
    for volume in spec["volumes"].as_array_mut().into_iter().flatten() {
        if volume.get("configMap").is_some() {
            set(&mut volume["configMap"], "ConfigMap", "name");
        }
        if volume.get("secret").is_some() {
            set(&mut volume["secret"], "Secret", "secretName");
        }
        if volume.get("projected").is_some() {
            for source in volume["projected"]["sources"].as_array_mut().into_iter().flatten() {
                for (key, kind) in [("configMap", "ConfigMap"), ("secret", "Secret")] {
                    if source.get(key).is_some() {
                        set(&mut source[key], kind, "name");
                    }
                }
            }
        }
    }
    for list in ["initContainers", "containers"] {
        if spec.get(list).is_none() {
            continue;
        }
        for container in spec[list].as_array_mut().into_iter().flatten() {
            if container.get("envFrom").is_some() {
                for from in container["envFrom"].as_array_mut().into_iter().flatten() {
                    for (key, kind) in [("configMapRef", "ConfigMap"), ("secretRef", "Secret")] {
                        if from.get(key).is_some() {
                            set(&mut from[key], kind, "name");
                        }
                    }
                }
            }
            if container.get("env").is_some() {
                for env in
                    container["env"].as_array_mut().into_iter().flatten().filter(|env| env.get("valueFrom").is_some())
                {
                    for (key, kind) in [("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")] {
                        if env["valueFrom"].get(key).is_some() {
                            set(&mut env["valueFrom"][key], kind, "name");
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn objects(value: &str) -> Vec<Json> {
        vec![
            json!({"kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"k": value}}),
            json!({"kind": "Secret", "metadata": {"name": "tls"}, "type": "Opaque"}),
            json!({"kind": "Ingress", "metadata": {"name": "i"}, "spec": {"tls": [{"secretName": "tls"}]}}),
            json!({"kind": "Deployment", "spec": {"template": {"spec": {
                "volumes": [{"name": "v", "configMap": {"name": "c"}}, {"name": "e", "emptyDir": {}}],
                "containers": [{"name": "w", "envFrom": [{"configMapRef": {"name": "c"}}],
                    "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}]}]}}}}),
        ]
    }

    #[test]
    fn each_content_has_its_name_wherever_it_is_used() {
        let (mut one, mut two) = (objects("1"), objects("2"));
        rename(&mut one);
        rename(&mut two);
        let name = |objects: &[Json]| objects[0]["metadata"]["name"].as_str().unwrap().to_owned();
        assert!(name(&one).starts_with("c-") && name(&one).len() == 10 && name(&one) != name(&two));
        let spec = &one[3]["spec"]["template"]["spec"];
        let used = [
            &spec["volumes"][0]["configMap"]["name"],
            &spec["containers"][0]["envFrom"][0]["configMapRef"]["name"],
            &spec["containers"][0]["env"][0]["valueFrom"]["configMapKeyRef"]["name"],
        ];
        assert!(used.iter().all(|used| used.as_str() == Some(name(&one).as_str())));
        assert_eq!(spec["volumes"][1], json!({"name": "e", "emptyDir": {}}));
        assert_eq!(one[1]["metadata"]["name"], "tls", "what an Ingress names stays");
    }
}
