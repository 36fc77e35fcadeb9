//! The socket: connections bounded in number, in the size and count of their headers, and in time.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

/// Connections at once; others wait in the kernel.
const MAX_CONNECTIONS: usize = 512;
/// Headers of a request.
const MAX_HEADERS: usize = 100;
/// Bytes of a request's head.
const MAX_HEAD: usize = 64 << 10;
/// A head has come whole after so long; also how long a connection may be idle.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// A connection lives at most so long, whatever it does.
const CONNECTION_TIME: Duration = Duration::from_secs(120);
/// Requests under way may take so long once the server is to stop.
const DRAIN: Duration = Duration::from_secs(10);

/// Serves until `stop` is true, then lets requests under way end.
pub async fn serve(listener: TcpListener, router: Router, mut stop: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                // No more files, or a connection that is gone already: nothing to do but to go on.
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                }
            },
            () = stopped(&mut stop) => break,
        };
        let _ = stream.set_nodelay(true);
        let (router, mut stop) = (router.clone(), stop.clone());
        tokio::spawn(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIME)
                .max_headers(MAX_HEADERS)
                .max_buf_size(MAX_HEAD)
                .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
            let mut connection = std::pin::pin!(connection);
            let mut deadline = std::pin::pin!(tokio::time::sleep(CONNECTION_TIME));
            let mut stopped = std::pin::pin!(stopped(&mut stop));
            tokio::select! {
                _ = connection.as_mut() => {}
                () = &mut deadline => {}
                () = &mut stopped => {
                    connection.as_mut().graceful_shutdown();
                    let _ = tokio::time::timeout(DRAIN, connection).await;
                }
            }
            drop(place);
        });
    }
    // All places are free when the last connection has ended.
    let all = u32::try_from(MAX_CONNECTIONS).unwrap_or(u32::MAX);
    let _ = tokio::time::timeout(DRAIN, places.acquire_many(all)).await;
}

/// Resolves when the server is to stop, or is gone.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // What is borrowed from the channel must not be held over an await.
    let _ = stop.wait_for(|stop| *stop).await;
}
