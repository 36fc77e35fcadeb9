//! A build by BuildKit. The engine takes the context as with the classic builder, and asks in the session for the rest.

use bollard::models::BuildInfo;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};

use crate::client::docker::Engine;
use crate::diagnostic::chain;

use super::builder::{Order, Progress, pieces};
use super::session::{Gifts, Session};

/// A line of progress is shorter.
const MAX_LINE: usize = 16 << 20;

/// Starts the build. It needs the session until its progress ends.
pub async fn start(engine: &Engine, order: Order<'_>) -> Result<(Progress<'static>, Session), String> {
    let host = engine.host();
    let gifts = Gifts { secrets: order.secrets, credentials: order.credentials };
    let session = Session::open(host, gifts).await.map_err(|error| format!("no session with BuildKit: {error}"))?;
    let json = |map: &std::collections::HashMap<String, String>| serde_json::to_string(map).map_err(|e| e.to_string());
    let query = [
        ("version", "2".to_owned()),
        ("session", session.id.clone()),
        ("dockerfile", order.dockerfile.to_owned()),
        ("t", order.tag.to_owned()),
        ("target", order.target.unwrap_or_default().to_owned()),
        ("buildargs", json(&order.build_args)?),
        ("labels", json(&order.labels)?),
        ("rm", "1".to_owned()),
    ];
    let (client, base) = client(host)?;
    let body = reqwest::Body::wrap_stream(pieces(order.archive).await.map_err(|error| error.to_string())?);
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    let answer = client
        .post(format!("{base}/build?{query}"))
        .header("Content-Type", "application/x-tar")
        .body(body)
        .send()
        .await
        // Its address holds the arguments of the build.
        .map_err(|error| chain(&error.without_url()))?;
    if !answer.status().is_success() {
        let status = answer.status();
        let text = answer.text().await.unwrap_or_default();
        let message = serde_json::from_str::<serde_json::Value>(&text)
            .ok()
            .and_then(|json| json["message"].as_str().map(str::to_owned));
        return Err(message.unwrap_or_else(|| format!("the engine answers {status}")));
    }
    let bytes = answer.bytes_stream().map(|piece| piece.map_err(|error| chain(&error.without_url())));
    Ok((messages(bytes.boxed()).boxed(), session))
}

/// A client for the engine, and what its addresses begin with.
fn client(host: &str) -> Result<(reqwest::Client, String), String> {
    let builder = reqwest::Client::builder().no_proxy();
    let (builder, base) = match host.split_once("://") {
        Some(("tcp" | "http", address)) => (builder, format!("http://{}", address.trim_end_matches('/'))),
        other => (builder.unix_socket(other.map_or(host, |(_, path)| path)), "http://engine".to_owned()),
    };
    builder.build().map(|client| (client, base)).map_err(|error| chain(&error))
}

/// The engine's messages, one JSON a line.
fn messages(
    bytes: impl Stream<Item = Result<Bytes, String>> + Send + Unpin + 'static,
) -> impl Stream<Item = Result<BuildInfo, String>> + Send + 'static {
    futures_util::stream::try_unfold((bytes, Vec::<u8>::new()), |(mut bytes, mut buffer)| async move {
        loop {
            if let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = buffer.drain(..=end).collect();
                if line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                return Ok(Some((message(&line)?, (bytes, buffer))));
            }
            match bytes.next().await {
                Some(piece) => buffer.extend_from_slice(&piece?),
                None if buffer.iter().all(u8::is_ascii_whitespace) => return Ok(None),
                None => {
                    let line = std::mem::take(&mut buffer);
                    return Ok(Some((message(&line)?, (bytes, buffer))));
                }
            }
            if buffer.len() > MAX_LINE {
                return Err("the engine's answer has a line without end".to_owned());
            }
        }
    })
}

fn message(line: &[u8]) -> Result<BuildInfo, String> {
    serde_json::from_slice(line).map_err(|error| format!("the engine's answer cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::TryStreamExt;

    #[tokio::test]
    async fn messages_are_read_however_they_are_cut() {
        let text = "{\"stream\": \"one\"}\r\n\r\n{\"stream\": \"two\"}\n{\"aux\": {\"ID\": \"sha256:00\"}}";
        for size in [1, 7, 1000] {
            let pieces: Vec<_> = text.as_bytes().chunks(size).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
            let all: Vec<BuildInfo> = messages(futures_util::stream::iter(pieces)).try_collect().await.unwrap();
            assert_eq!(all.iter().filter_map(|info| info.stream.clone()).collect::<Vec<_>>(), ["one", "two"]);
            assert_eq!(all.len(), 3);
        }
        let cut = futures_util::stream::iter([Ok(Bytes::from_static(b"{\"stream\""))]);
        assert!(messages(cut).try_collect::<Vec<_>>().await.is_err());
    }
}
