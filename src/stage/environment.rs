//! Environments: where things are deployed to, what that lends to stages, and who must agree.

use crate::diagnostic::Diagnostics;
use crate::model::Node;
use crate::secret::Secret;

use super::settings::Reader;

/// How a cluster is reached.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cluster {
    /// A kubeconfig's path; `~` is the user's home. Without it `$KUBECONFIG`.
    pub kubeconfig: Option<String>,
    /// A kubeconfig's text.
    pub kubeconfig_data: Option<Secret>,
    /// The context in it; without it the current one.
    pub context: Option<String>,
}

/// Which secrets an environment lends.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum LentSecrets {
    /// All (nothing is said).
    #[default]
    All,
    /// These; stages of no environment or another one do not get them.
    Named(Vec<String>),
}

/// An environment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Environment {
    /// Its name.
    pub name: String,
    /// Its cluster.
    pub cluster: Cluster,
    /// The namespace; without it what the manifests say.
    pub namespace: Option<String>,
    /// What a path in `verify` stands on.
    pub url: Option<String>,
    /// Joins the `vars` context.
    pub vars: Vec<(String, String)>,
    /// Which secrets it lends.
    pub secrets: LentSecrets,
    /// Only runs of these branches (globs) may use it; empty: any.
    pub branches: Vec<String>,
    /// Users and groups of whom one must approve a deploy.
    pub approvers: Vec<String>,
    /// Whether anything defines it; one that nothing defines is allowed only where `KUBECONFIG` is set.
    pub defined: bool,
}

const KEYS: &[&str] = &["cluster", "namespace", "url", "vars", "secrets", "branches", "approvers"];

impl Environment {
    /// Reads the environment `name`.
    pub fn read(reader: &mut Reader<'_>, name: &str, node: &Node) -> Option<Self> {
        let mut environment = Self { name: name.to_owned(), defined: true, ..Self::default() };
        if node.is_null() {
            return Some(environment);
        }
        let settings = reader.map("environment", node, KEYS, &[])?;
        if let Some(node) = settings.get("cluster")
            && let Some(cluster) = reader.map("cluster", node, &["kubeconfig", "kubeconfig-data", "context"], &[])
        {
            let mut text = |key: &str| cluster.get(key).and_then(|node| reader.text(key, node));
            environment.cluster = Cluster {
                kubeconfig: text("kubeconfig"),
                kubeconfig_data: text("kubeconfig-data").map(Secret::new),
                context: text("context"),
            };
        }
        environment.namespace = settings.get("namespace").and_then(|node| reader.text("namespace", node));
        environment.url = settings.get("url").and_then(|node| reader.text("url", node));
        environment.vars = settings.get("vars").map(|node| reader.pairs("vars", node)).unwrap_or_default();
        environment.secrets = match settings.get("secrets").map(|node| reader.texts("secrets", node)) {
            Some(names) if names != ["all"] => LentSecrets::Named(names),
            _ => LentSecrets::All,
        };
        environment.branches = settings.get("branches").map(|node| reader.texts("branches", node)).unwrap_or_default();
        environment.approvers =
            settings.get("approvers").map(|node| reader.texts("approvers", node)).unwrap_or_default();
        Some(environment)
    }

    /// Reads a map of environments (`environments:`).
    pub fn read_all(node: &Node, diagnostics: &mut Diagnostics, open: bool) -> Vec<Self> {
        let mut reader = if open { Reader::of_file(diagnostics) } else { Reader::of_values(diagnostics) };
        let Some(entries) = node.entries() else {
            reader.wrong_kind("environments", node, "a map of environments");
            return Vec::new();
        };
        entries.iter().filter_map(|entry| Self::read(&mut reader, &entry.key, &entry.value)).collect()
    }

    /// This one where `over` (the user's or the server's) says nothing, key by key.
    pub fn under(mut self, over: &Environment) -> Self {
        let Environment { name: _, cluster, namespace, url, vars, secrets, branches, approvers, defined } =
            over.clone();
        if cluster != Cluster::default() {
            self.cluster = cluster;
        }
        self.namespace = namespace.or(self.namespace);
        self.url = url.or(self.url);
        for (key, value) in vars {
            self.vars.retain(|(own, _)| *own != key);
            self.vars.push((key, value));
        }
        if secrets != LentSecrets::All {
            self.secrets = secrets;
        }
        if !branches.is_empty() {
            self.branches = branches;
        }
        if !approvers.is_empty() {
            self.approvers = approvers;
        }
        self.defined |= defined;
        self
    }
}
