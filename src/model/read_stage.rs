//! What only stages have: `retry`, `artifacts`, `cache`, `reports`, `network`.

use crate::diagnostic::Diagnostic;
use crate::span::Spanned;

use super::codes;
use super::node::{CoreType, core_number, core_type};
use super::read::{Field, Fields, Reader};
use super::tables::{CACHE, REPORTS, RETRY, RETRY_ON};
use super::{ArtifactSpec, CacheSpec, Job, Node, Retry, RetryOn};

/// More attempts than this hide a fault.
const MAX_RETRIES: f64 = 10.0;

impl Reader {
    /// Fills `retry`, `artifacts`, `cache`, `reports` and `network`.
    pub(super) fn retention(&mut self, job: &mut Job, fields: &Fields<'_>) {
        job.retry = fields.get("retry").and_then(|field| self.retry(field));
        if let Some(artifacts) = fields.get("artifacts") {
            job.artifacts = self.texts(artifacts).into_iter().map(|pattern| ArtifactSpec { pattern }).collect();
        }
        if let Some(cache) = fields.get("cache") {
            job.cache = match cache.node.items() {
                Some(items) => items.iter().filter_map(|item| self.cache(item)).collect(),
                None => self.cache(cache.node).into_iter().collect(),
            };
        }
        if let Some(reports) = fields.get("reports").and_then(|field| self.fields(field.node, &REPORTS))
            && let Some(junit) = reports.get("junit")
        {
            job.reports.junit = self.texts(junit);
        }
        if let Some(network) = fields.get("network") {
            job.own_network = self.choice("network", network.node, &["own"]).is_some();
        }
    }

    fn retry(&mut self, field: Field<'_>) -> Option<Retry> {
        let all = || vec![RetryOn::Lost, RetryOn::Timeout, RetryOn::Failure];
        if field.node.entries().is_none() {
            return self.retry_max("retry", field.node).map(|max| Retry { max, on: all() });
        }
        let fields = self.fields(field.node, &RETRY)?;
        let max = fields.get("max").and_then(|max| self.retry_max("max", max.node))?;
        let on = match fields.get("on") {
            None => all(),
            Some(on) => {
                let nodes = on.node.items().unwrap_or(std::slice::from_ref(on.node));
                nodes.iter().filter_map(|node| self.retry_on(node)).collect()
            }
        };
        Some(Retry { max, on })
    }

    fn retry_on(&mut self, node: &Node) -> Option<RetryOn> {
        Some(match self.choice("on", node, RETRY_ON)? {
            "lost" => RetryOn::Lost,
            "timeout" => RetryOn::Timeout,
            _ => RetryOn::Failure,
        })
    }

    fn retry_max(&mut self, name: &str, node: &Node) -> Option<Spanned<u32>> {
        let number = node
            .scalar()
            .filter(|(text, style)| core_type(text, *style) == CoreType::Int)
            .map(|(text, _)| core_number(text));
        match number {
            Some(number) if (0.0..=MAX_RETRIES).contains(&number) => Some(Spanned::new(number as u32, node.span)),
            _ => {
                let message =
                    format!("\"{name}\" must be a whole number from 0 to {MAX_RETRIES}: attempts beyond the first");
                self.push(
                    Diagnostic::error(codes::RETRY, node.span, message)
                        .help("for example \"retry: 2\" or \"retry: {max: 2, on: lost}\""),
                );
                None
            }
        }
    }

    fn cache(&mut self, node: &Node) -> Option<CacheSpec> {
        let fields = self.fields(node, &CACHE)?;
        let restore_keys = fields.get("restore-keys").map(|field| self.texts(field)).unwrap_or_default();
        let paths = fields.get("paths").map(|field| self.texts(field)).unwrap_or_default();
        let key = fields.get("key").and_then(|key| self.text(key))?;
        Some(CacheSpec { key, paths, restore_keys, span: node.span })
    }
}
