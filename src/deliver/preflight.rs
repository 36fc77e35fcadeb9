//! What is checked before the first write: a deploy that cannot succeed is refused whole.

use serde_json::{Value as Json, json};

use super::live::Live;
use super::render::Rendered;
use super::{sides, task};
use crate::client::kube::{ACCESS_REVIEW, Cluster, KubeError, NAMESPACE, RESOURCE_QUOTA};
use crate::event::Ending;
use crate::stage::deploy::StrategyName;
use crate::task::contract::{TaskEnd, TaskError};

/// Refuses with everything that stands against the deploy.
fn refuse(app: &str, why: &[String]) -> TaskError {
    let message = format!("\"{app}\" was not deployed, and nothing was changed: {}", why.join("; "));
    TaskError::ended(message, Ending::Preflight, TaskEnd::default())
}

/// The namespace is there, or comes with the manifests.
pub async fn namespace(cluster: &Cluster, namespace: &str, rendered: &Rendered) -> Result<(), TaskError> {
    let brings = |object: &&Json| object["kind"] == "Namespace" && object["metadata"]["name"] == namespace;
    if rendered.objects.iter().any(|object| brings(&object)) {
        return Ok(());
    }
    match cluster.find(&NAMESPACE, "", namespace).await {
        Ok(Some(_)) | Err(KubeError::Forbidden { .. }) => Ok(()),
        Ok(None) => {
            let why = format!("namespace \"{namespace}\" is not there; make it, or put it into the manifests");
            Err(TaskError::ended(why, Ending::Preflight, TaskEnd::default()))
        }
        Err(error) => Err(error.into()),
    }
}

/// Everything else.
pub async fn run(live: &Live<'_>, strategy: StrategyName) -> Result<(), TaskError> {
    let mut why = Vec::new();
    why.extend(router(live, strategy).await?);
    why.extend(rights(live).await?);
    why.extend(quota(live, strategy).await?);
    why.extend(tries(live, strategy).await?);
    if why.is_empty() { Ok(()) } else { Err(refuse(&live.app, &why)) }
}

/// The object by which traffic moves is there, or comes with the manifests.
async fn router(live: &Live<'_>, strategy: StrategyName) -> Result<Option<String>, TaskError> {
    if strategy == StrategyName::Rolling {
        return Ok(None);
    }
    let Some((kind, name)) = task::router(live.spec) else { return Ok(None) };
    let comes = |object: &&Json| object["kind"] == kind.as_str() && object["metadata"]["name"] == name.as_str();
    if live.rendered.objects.iter().any(|object| comes(&object)) {
        return Ok(None);
    }
    let known = match kind.as_str() {
        "Service" => crate::client::kube::SERVICE,
        "Ingress" => crate::client::kube::INGRESS,
        "HTTPRoute" => crate::client::kube::HTTP_ROUTE,
        _ => crate::client::kube::VIRTUAL_SERVICE,
    };
    let found = live.cluster.find(&known, &live.namespace, &name).await?;
    Ok(found.is_none().then(|| {
        format!("{kind} \"{name}\", which the strategy moves traffic by, is neither in namespace \"{}\" nor in the manifests", live.namespace)
    }))
}

/// Whether the user may do what the deploy needs.
async fn rights(live: &Live<'_>) -> Result<Vec<String>, TaskError> {
    let mut wanted: Vec<(String, String, &str)> = vec![
        ("apps".to_owned(), "deployments".to_owned(), "patch"),
        (String::new(), "secrets".to_owned(), "patch"),
        ("coordination.k8s.io".to_owned(), "leases".to_owned(), "update"),
        (String::new(), "pods".to_owned(), "list"),
    ];
    for object in &live.rendered.objects {
        let kind = live.cluster.kind_of(object).await?;
        let one = (kind.group().to_owned(), kind.plural.to_string(), "patch");
        if !wanted.contains(&one) {
            wanted.push(one);
        }
    }
    let mut missing = Vec::new();
    for (group, resource, verb) in wanted {
        let ask = json!({"apiVersion": ACCESS_REVIEW.api_version, "kind": ACCESS_REVIEW.kind, "metadata": {},
            "spec": {"resourceAttributes": {"namespace": live.namespace, "group": group, "resource": resource, "verb": verb}}});
        let answer = live.cluster.create(&ask).await?;
        if answer["status"]["allowed"] == false {
            missing.push(format!("not allowed to {verb} {resource} in namespace \"{}\"", live.namespace));
        }
    }
    Ok(missing)
}

/// Whether the quota has room for the pods that stand beside the old ones.
async fn quota(live: &Live<'_>, strategy: StrategyName) -> Result<Vec<String>, TaskError> {
    let quotas = match live.cluster.list(&RESOURCE_QUOTA, &live.namespace, "").await {
        Ok(quotas) => quotas,
        Err(KubeError::Forbidden { .. }) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    if quotas.is_empty() || strategy == StrategyName::Rolling {
        return Ok(Vec::new());
    }
    let Some(deployment) = live.rendered.objects.iter().find(|object| {
        object["kind"] == "Deployment" && Some(sides::name(object)) == live.rendered.deployment.as_deref()
    }) else {
        return Ok(Vec::new());
    };
    let running = live.cluster.list(&crate::client::kube::DEPLOYMENT, &live.namespace, "").await?;
    let serving = running.iter().filter(|one| one["metadata"]["labels"]["slipway.dev/app"] == live.app.as_str());
    let pods = match strategy {
        StrategyName::BlueGreen => serving.map(sides::replicas).max().unwrap_or(0).max(sides::replicas(deployment)),
        _ => 1,
    };
    let mut why = Vec::new();
    for quota in &quotas {
        let (hard, used) = (&quota["status"]["hard"], &quota["status"]["used"]);
        let name = sides::name(quota);
        for (key, limit) in hard.as_object().into_iter().flatten() {
            let (Some(limit), Some(used)) = (amount(limit), used.get(key).and_then(amount)) else { continue };
            let needed = f64::from(pods) * each(deployment, key);
            if needed > 0.0 && used + needed > limit {
                why.push(format!(
                    "quota \"{name}\" leaves {} of {key}, and {pods} more pods need {}",
                    shown(limit - used),
                    shown(needed)
                ));
            }
        }
    }
    Ok(why)
}

/// How much of a quota's key one pod takes.
fn each(deployment: &Json, key: &str) -> f64 {
    let (list, resource) = match key {
        "pods" | "count/pods" => return 1.0,
        "cpu" | "requests.cpu" => ("requests", "cpu"),
        "memory" | "requests.memory" => ("requests", "memory"),
        "limits.cpu" => ("limits", "cpu"),
        "limits.memory" => ("limits", "memory"),
        _ => return 0.0,
    };
    let containers = deployment.pointer("/spec/template/spec/containers").and_then(Json::as_array);
    let of = |container: &Json| container["resources"][list].get(resource).and_then(amount).unwrap_or(0.0);
    containers.into_iter().flatten().map(of).sum()
}

/// A quantity of Kubernetes: `200m`, `1`, `64Mi`, `2G`.
fn amount(value: &Json) -> Option<f64> {
    if let Some(number) = value.as_f64() {
        return Some(number);
    }
    let text = value.as_str()?;
    let end = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let number: f64 = text[..end].parse().ok()?;
    let factor = match &text[end..] {
        "" => 1.0,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "Ki" => 1024.0,
        "Mi" => 1_048_576.0,
        "Gi" => 1_073_741_824.0,
        "Ti" => 1_099_511_627_776.0,
        _ => return None,
    };
    Some(number * factor)
}

fn shown(number: f64) -> String {
    if number >= 1_048_576.0 {
        format!("{} Mi", (number / 1_048_576.0).round())
    } else {
        format!("{}", (number * 1000.0).round() / 1000.0)
    }
}

/// Tries every object without writing it: immutable fields, fields that do not exist, and policies show here.
async fn tries(live: &Live<'_>, strategy: StrategyName) -> Result<Vec<String>, TaskError> {
    let objects = match strategy {
        StrategyName::Rolling => live.rendered.objects.clone(),
        _ => live.rendered.rest(),
    };
    let mut why = Vec::new();
    for object in &objects {
        // What comes into a namespace that comes with it cannot be tried.
        let space = object["metadata"]["namespace"].as_str().unwrap_or_default();
        if live.rendered.objects.iter().any(|other| other["kind"] == "Namespace" && other["metadata"]["name"] == space)
        {
            continue;
        }
        match live.cluster.dry_apply(object).await {
            Ok(_) => {}
            Err(KubeError::Invalid { what, reason } | KubeError::Forbidden { what, reason }) => {
                why.push(format!("{what}: {reason}"))
            }
            Err(error) => why.push(crate::diagnostic::chain(&error)),
        }
    }
    Ok(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_numbers() {
        for (text, number) in [("200m", 0.2), ("1", 1.0), ("64Mi", 67_108_864.0), ("2G", 2e9)] {
            assert_eq!(amount(&json!(text)), Some(number), "{text}");
        }
        assert_eq!(amount(&json!("much")), None);
        let pod =
            json!({"spec": {"template": {"spec": {"containers": [{"resources": {"requests": {"cpu": "200m"}}}, {}]}}}});
        assert_eq!((each(&pod, "requests.cpu"), each(&pod, "pods"), each(&pod, "services")), (0.2, 1.0, 0.0));
    }
}
