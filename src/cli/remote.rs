//! Decisions that are sent to a server: `SLIPWAY_SERVER` says where it is, `SLIPWAY_TOKEN` who decides.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::diagnostic::chain;
use crate::exit::Exit;
use crate::secret::Secret;

use super::approve::Args;

/// An answer comes within so long; a run is waited for by the server itself.
const TIME: Duration = Duration::from_secs(30);

/// A server, and who we are to it.
pub struct Remote {
    root: url::Url,
    token: Secret,
    http: reqwest::Client,
}

impl Remote {
    /// The server that the environment names; none: decisions are made on this machine. `get` looks up a variable.
    pub fn of_environment(get: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, String> {
        let set = |name: &str| get(name).filter(|value| !value.is_empty());
        let Some(server) = set("SLIPWAY_SERVER") else { return Ok(None) };
        let token =
            set("SLIPWAY_TOKEN").ok_or("SLIPWAY_SERVER is set, and SLIPWAY_TOKEN is not: it holds your token there")?;
        let root = url::Url::parse(&server).map_err(|e| format!("SLIPWAY_SERVER is no URL: {e}"))?;
        if !matches!(root.scheme(), "https" | "http") || root.cannot_be_a_base() {
            return Err("SLIPWAY_SERVER is neither an https nor an http URL".to_owned());
        }
        let http = reqwest::Client::builder().timeout(TIME).redirect(reqwest::redirect::Policy::none()).build();
        let http = http.map_err(|e| format!("failed to set up requests: {}", chain(&e)))?;
        Ok(Some(Self { root, token: Secret::new(token), http }))
    }

    /// Sends a decision, bound to the commit and the plan that the run has now.
    pub async fn decide(&self, args: &Args, approved: bool) -> Result<Exit, String> {
        if args.by.is_some() {
            return Err("--as means nothing to a server: the token says who you are".to_owned());
        }
        let run = self.send(Method::GET, &["api", "runs", &args.run], None).await?;
        let run = &run["run"];
        let stage = match &args.stage {
            Some(stage) => stage.clone(),
            None => the_one_that_waits(run)?,
        };
        let inputs: serde_json::Map<String, Value> =
            args.inputs.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
        let body = json!({ "comment": args.comment, "inputs": inputs, "commit": run["commit"], "plan": run["plan"] });
        let verb = if approved { "approve" } else { "reject" };
        let answer = self.send(Method::POST, &["api", "runs", &args.run, "stages", &stage, verb], Some(&body)).await?;
        let by = answer["by"].as_str().unwrap_or("you");
        match answer["pending"] == Value::Bool(true) {
            true => println!("asked as \"{by}\"; the run has not answered yet"),
            false => println!(
                "stage \"{stage}\" of run {} is {} by \"{by}\"",
                args.run,
                if approved { "approved" } else { "rejected" }
            ),
        }
        Ok(Exit::Success)
    }

    async fn send(&self, method: Method, path: &[&str], body: Option<&Value>) -> Result<Value, String> {
        let mut url = self.root.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        let what = format!("failed to ask the server \"{}\"", self.root);
        let mut request = self.http.request(method, url).bearer_auth(self.token.expose());
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|e| format!("{what}: {}", chain(&e)))?;
        let status = response.status();
        let answer: Value = response.json().await.unwrap_or_default();
        if status.is_success() {
            return Ok(answer);
        }
        let said = crate::report::sanitize::visible(answer["error"].as_str().unwrap_or("it gives no reason"));
        Err(format!("{what}: it answers {}: {said}", status.as_u16()))
    }
}

fn the_one_that_waits(run: &Value) -> Result<String, String> {
    let stages = run["stages"].as_array().into_iter().flatten();
    let waiting: Vec<&str> =
        stages.filter(|stage| stage["status"] == "approval").filter_map(|stage| stage["stage"].as_str()).collect();
    match waiting.as_slice() {
        [one] => Ok((*one).to_owned()),
        [] => Err("no stage of the run waits for a decision".to_owned()),
        several => Err(format!("several stages wait, say which: {}", several.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_takes_a_token() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let with = |list: &'static [(&str, &str)]| {
            Remote::of_environment(move |name| {
                list.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
            })
        };
        assert!(with(&[]).is_ok_and(|remote| remote.is_none()));
        assert!(
            with(&[("SLIPWAY_SERVER", "https://ci.example"), ("SLIPWAY_TOKEN", "t")])
                .is_ok_and(|remote| remote.is_some())
        );
        assert!(with(&[("SLIPWAY_SERVER", "https://ci.example")]).is_err_and(|e| e.contains("SLIPWAY_TOKEN is not")));
        assert!(
            with(&[("SLIPWAY_SERVER", "ci.example:80"), ("SLIPWAY_TOKEN", "t")]).is_err_and(|e| e.contains("neither"))
        );
    }

    #[test]
    fn the_stage_that_waits_is_found() {
        let run = json!({"stages": [{"stage": "a", "status": "success"}, {"stage": "b", "status": "approval"}]});
        assert_eq!(the_one_that_waits(&run).as_deref(), Ok("b"));
        assert!(the_one_that_waits(&json!({})).is_err_and(|e| e.contains("no stage")));
        let two = json!({"stages": [{"stage": "a", "status": "approval"}, {"stage": "b", "status": "approval"}]});
        assert!(the_one_that_waits(&two).is_err_and(|e| e.ends_with("a, b")));
    }
}
