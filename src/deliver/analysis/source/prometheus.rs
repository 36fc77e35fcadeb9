//! Numbers of a Prometheus server: raw counters at this moment, the difference is taken here.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value as Json;

use super::super::counters::{Counters, Names};
use super::super::exposition::{Series, number};
use super::{Counted, name, probes};
use crate::diagnostic::chain;

/// A query's longest time.
const LIMIT: Duration = Duration::from_secs(10);
/// An answer's greatest size.
const MAX_ANSWER: usize = 32 << 20;
/// What stands in a query for the pods' names, as a regular expression.
pub const TRACK_PODS: &str = "track.pods";

/// A Prometheus server.
pub(super) struct Prometheus {
    client: reqwest::Client,
    url: String,
    token: Option<String>,
}

impl Prometheus {
    pub(super) fn new(url: &str, token: Option<String>) -> Result<Self, String> {
        let url = url.trim_end_matches('/').to_owned();
        let client = reqwest::Client::builder().timeout(LIMIT).build();
        let client = client.map_err(|error| format!("failed to prepare to ask Prometheus: {}", chain(&error)))?;
        Ok(Self { client, url, token })
    }

    /// The raw counters of pods, all in one query.
    pub(super) async fn counted(&self, pods: &[&Json], names: &Names) -> Counted {
        let wanted: Vec<String> = names.all().map(|name| literal(&name)).collect();
        let query = format!("{{__name__=~\"{}\",pod=~\"{}\"}}", wanted.join("|"), regex(pods));
        let series = match self.query(&query).await {
            Ok(result) => result,
            Err(error) => return Counted { trouble: Some(error), ..Counted::default() },
        };
        let mut by_pod: BTreeMap<String, Vec<Series>> = BTreeMap::new();
        for series in series.iter().filter_map(read) {
            if let Some(pod) = series.label("pod") {
                by_pod.entry(pod.to_owned()).or_default().push(series);
            }
        }
        // A pod without series has not counted anything yet.
        let counters = |pod: &&Json| {
            let series = by_pod.get(name(pod)).map(Vec::as_slice).unwrap_or_default();
            let mut aside = probes(pod);
            aside.push("/metrics".to_owned());
            (name(pod).to_owned(), Counters::read(series, names, &aside))
        };
        Counted { by_pod: pods.iter().map(counters).collect(), trouble: None }
    }

    /// A query's value on both sides. No series or NaN is no value, several are a mistake.
    pub(super) async fn values(
        &self,
        query: &str,
        promql: &str,
        new: &[&Json],
        old: &[&Json],
    ) -> Result<(Option<f64>, Option<f64>), String> {
        let mut values = [None, None];
        for (value, pods) in values.iter_mut().zip([new, old]) {
            if !pods.is_empty() {
                let result = self.query(&fill(promql, &regex(pods))).await;
                let result = result.map_err(|error| format!("query \"{query}\": {error}"))?;
                if result.len() > 1 {
                    let count = result.len();
                    return Err(format!("query \"{query}\" gives {count} series: make it one, with sum() or max()"));
                }
                *value = result.first().and_then(read).map(|series| series.value);
            }
        }
        Ok((values[0], values[1]))
    }

    async fn query(&self, query: &str) -> Result<Vec<Json>, String> {
        let failed = |why: String| format!("failed to ask Prometheus at {}: {why}", self.url);
        let mut url = url::Url::parse(&self.url).map_err(|error| failed(error.to_string()))?;
        url.set_path(&format!("{}/api/v1/query", url.path().trim_end_matches('/')));
        let body: String = url::form_urlencoded::Serializer::new(String::new()).append_pair("query", query).finish();
        let mut request = self.client.post(url).header("content-type", "application/x-www-form-urlencoded").body(body);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let mut response = request.send().await.map_err(|error| failed(chain(&error.without_url())))?;
        let status = response.status();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failed(chain(&error.without_url())))? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > MAX_ANSWER {
                return Err(failed(format!("the answer is larger than {} MiB", MAX_ANSWER >> 20)));
            }
        }
        let mut answer: Json =
            serde_json::from_slice(&bytes).map_err(|_| failed(format!("it answered {status}, and no JSON")))?;
        if answer["status"] != "success" {
            let why = answer["error"].as_str().unwrap_or("it does not say why");
            return Err(failed(format!("it answered {}: {why}", status.as_u16())));
        }
        // A scalar has no labels.
        let is_scalar = answer["data"]["resultType"] == "scalar";
        match (is_scalar, answer["data"]["result"].take()) {
            (true, value) => Ok(vec![serde_json::json!({"metric": {}, "value": value})]),
            (_, Json::Array(series)) => Ok(series),
            _ => Err(failed("the answer holds no series".to_owned())),
        }
    }
}

fn read(series: &Json) -> Option<Series> {
    let value = number(series["value"][1].as_str()?)?;
    let mut labels = Vec::new();
    let mut name = String::new();
    for (label, text) in series["metric"].as_object()? {
        let text = text.as_str()?.to_owned();
        if label == "__name__" {
            name = text;
        } else {
            labels.push((label.clone(), text));
        }
    }
    Some(Series { name, labels, value })
}

/// The pods' names as a regular expression, fit for a string of a query.
fn regex(pods: &[&Json]) -> String {
    pods.iter().map(|pod| literal(name(pod))).collect::<Vec<_>>().join("|")
}

/// A name that stands for itself in a regular expression within a string.
fn literal(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' | ':' => text.push(c),
            c if c.is_ascii_graphic() && c != '"' => {
                text.push_str("\\\\");
                text.push(c);
            }
            _ => text.push('.'),
        }
    }
    text
}

/// A query with the pods' names in the place of `${{ track.pods }}`.
fn fill(promql: &str, pods: &str) -> String {
    let mut text = String::new();
    let mut rest = promql;
    while let Some((before, behind)) = rest.split_once("${{") {
        let Some((inner, after)) = behind.split_once("}}") else {
            break;
        };
        text.push_str(before);
        if inner.trim() == TRACK_PODS {
            text.push_str(pods);
        } else {
            text.push_str(&format!("${{{{{inner}}}}}"));
        }
        rest = after;
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pods_names_stand_in_queries_as_they_are() {
        let (a, b) = (json!({"metadata": {"name": "app-1"}}), json!({"metadata": {"name": "b.x"}}));
        assert_eq!(regex(&[&a, &b]), "app-1|b\\\\.x");
        assert_eq!(fill("sum(q{pod=~\"${{ track.pods }}\"}) + ${{ x }}", "a|b"), "sum(q{pod=~\"a|b\"}) + ${{ x }}");
        assert_eq!(fill("q ${{ open", "a"), "q ${{ open");
        assert_eq!(literal("a\"b"), "a.b");
    }

    #[test]
    fn nan_is_no_value() {
        assert_eq!(read(&json!({"metric": {}, "value": [1, "NaN"]})), None);
        let series = read(&json!({"metric": {"__name__": "a", "pod": "p"}, "value": [1.5, "3"]})).unwrap();
        assert_eq!((series.name.as_str(), series.label("pod"), series.value), ("a", Some("p"), 3.0));
    }
}
