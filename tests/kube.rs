//! The cluster's client against a real API server (`KUBECONFIG`); ignored where there is none.

use serde_json::json;
use slipway::client::kube::{CONFIG_MAP, Cluster, KubeError, NAMESPACE};

#[tokio::test]
#[ignore = "needs a cluster"]
async fn objects_are_applied_patched_with_tests_and_deleted() {
    // Another test of this program may have set it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let cluster = Cluster::connect(&slipway::stage::Cluster::default()).await.expect("KUBECONFIG names a cluster");
    let space = format!("kube-test-{}", std::process::id());
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space}});
    cluster.apply(&namespace).await.expect("a namespace");
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "namespace": space}, "data": {"a": "1"}});
    let dry = cluster.dry_apply(&map).await.expect("a dry run");
    assert_eq!(dry["data"]["a"], "1");
    assert!(cluster.find(&CONFIG_MAP, &space, "m").await.expect("a look").is_none(), "a dry run writes nothing");
    cluster.apply(&map).await.expect("applied");
    let patch = |old: &str, new: &str| json!([{"op": "test", "path": "/data/a", "value": old}, {"op": "replace", "path": "/data/a", "value": new}]);
    cluster.json_patch(&CONFIG_MAP, &space, "m", patch("1", "2")).await.expect("the test holds");
    let stale = cluster.json_patch(&CONFIG_MAP, &space, "m", patch("1", "3")).await;
    assert!(matches!(stale, Err(KubeError::Invalid { .. })), "{stale:?}");
    let again = cluster.create(&map).await;
    assert!(matches!(again, Err(KubeError::Conflict { .. })), "{again:?}");
    let list = cluster.list(&CONFIG_MAP, &space, "").await.expect("a list");
    assert!(list.iter().any(|map| map["metadata"]["name"] == "m" && map["kind"] == "ConfigMap"));
    let gone = cluster.get(&CONFIG_MAP, &space, "nobody").await;
    assert!(matches!(&gone, Err(KubeError::NotFound { what }) if what.contains("configmaps/nobody")), "{gone:?}");
    let unknown = cluster.kind("shop.example/v1", "Basket").await;
    assert!(unknown.is_err_and(|error| error.to_string().contains("CRD")));
    cluster.delete(&NAMESPACE, "", &space).await.expect("deleted");
}
