//! A session with BuildKit: over a connection that we open, the engine calls back for secrets and credentials. What it asks
//! for goes into the step that mounts it, and into no layer.

use std::collections::HashMap;
use std::pin::Pin;

use bollard::auth::DockerCredentials;
use bollard::health::health_check_response::ServingStatus;
use bollard::health::health_server::{Health, HealthServer};
use bollard::health::{HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse};
use bollard::moby::buildkit::secrets::v1::secrets_server::{Secrets, SecretsServer};
use bollard::moby::buildkit::secrets::v1::{GetSecretRequest, GetSecretResponse};
use bollard::moby::filesync::v1::auth_server::{Auth, AuthServer};
use bollard::moby::filesync::v1::{
    CredentialsRequest, CredentialsResponse, FetchTokenRequest, FetchTokenResponse, GetTokenAuthorityRequest,
    GetTokenAuthorityResponse, VerifyTokenAuthorityRequest, VerifyTokenAuthorityResponse,
};
use futures_util::{Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::oneshot;
use tonic::transport::Server;
use tonic::transport::server::Connected;
use tonic::{Request, Response, Status};

/// What the engine may call.
const METHODS: [&str; 2] = ["/moby.buildkit.secrets.v1.Secrets/GetSecret", "/moby.filesync.v1.Auth/Credentials"];
/// An engine's answer to the upgrade is shorter.
const MAX_HEAD: usize = 16 << 10;

/// The session; it ends when this is dropped.
pub struct Session {
    /// Its id, for the build.
    pub id: String,
    _end: oneshot::Sender<()>,
}

/// What it gives away.
pub struct Gifts {
    /// Secrets by id.
    pub secrets: HashMap<String, Vec<u8>>,
    /// Credentials by registry.
    pub credentials: HashMap<String, DockerCredentials>,
}

impl Session {
    /// Opens one at the engine that listens at `host`.
    pub async fn open(host: &str, gifts: Gifts) -> std::io::Result<Self> {
        let id = uuid::Uuid::new_v4().simple().to_string();
        match host.split_once("://") {
            Some(("tcp" | "http", address)) => {
                let mut stream = TcpStream::connect(address.trim_end_matches('/')).await?;
                upgrade(&mut stream, &id).await?;
                Ok(serve(stream, id, gifts))
            }
            other => {
                let mut stream = UnixStream::connect(other.map_or(host, |(_, path)| path)).await?;
                upgrade(&mut stream, &id).await?;
                Ok(serve(stream, id, gifts))
            }
        }
    }
}

/// Asks the engine to speak HTTP/2 to us on this connection.
async fn upgrade(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), id: &str) -> std::io::Result<()> {
    let mut head = format!(
        "POST /session HTTP/1.1\r\nHost: engine\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\
         X-Docker-Expose-Session-Uuid: {id}\r\nX-Docker-Expose-Session-Name: slipway\r\n"
    );
    for method in METHODS {
        head.push_str(&format!("X-Docker-Expose-Session-Grpc-Method: {method}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).await?;
    // Byte by byte: what follows the head belongs to the session.
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await?);
        if answer.len() > MAX_HEAD {
            return Err(std::io::Error::other("the engine's answer does not end"));
        }
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let first = answer.lines().next().unwrap_or_default();
    match first.split(' ').nth(1) {
        Some("101") => Ok(()),
        _ => Err(std::io::Error::other(format!("the engine does not open sessions: \"{first}\""))),
    }
}

fn serve<C>(connection: C, id: String, gifts: Gifts) -> Session
where
    C: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    let (end, ended) = oneshot::channel::<()>();
    let router = Server::builder()
        .add_service(HealthServer::new(Healthy))
        .add_service(SecretsServer::new(Given(gifts.secrets)))
        .add_service(AuthServer::new(Given(gifts.credentials)));
    // One connection, and then none: the server waits for the end.
    let one = futures_util::stream::iter([Ok::<_, std::io::Error>(connection)]).chain(futures_util::stream::pending());
    tokio::spawn(async move {
        // The build itself says when it could not ask.
        let _ = router
            .serve_with_incoming_shutdown(one, async {
                let _ = ended.await;
            })
            .await;
    });
    Session { id, _end: end }
}

struct Given<T>(HashMap<String, T>);

#[tonic::async_trait]
impl Secrets for Given<Vec<u8>> {
    async fn get_secret(&self, request: Request<GetSecretRequest>) -> Result<Response<GetSecretResponse>, Status> {
        match self.0.get(&request.get_ref().id) {
            Some(data) => Ok(Response::new(GetSecretResponse { data: data.clone() })),
            None => Err(Status::not_found(format!("\"secrets\" of this build has no \"{}\"", request.get_ref().id))),
        }
    }
}

#[tonic::async_trait]
impl Auth for Given<DockerCredentials> {
    async fn credentials(&self, request: Request<CredentialsRequest>) -> Result<Response<CredentialsResponse>, Status> {
        let found = self.0.get(&request.get_ref().host).cloned().unwrap_or_default();
        Ok(Response::new(match found.identitytoken {
            Some(token) => CredentialsResponse { username: String::new(), secret: token },
            None => CredentialsResponse {
                username: found.username.unwrap_or_default(),
                secret: found.password.unwrap_or_default(),
            },
        }))
    }

    async fn fetch_token(&self, _: Request<FetchTokenRequest>) -> Result<Response<FetchTokenResponse>, Status> {
        Err(Status::unimplemented("the engine asks the registry itself"))
    }

    async fn get_token_authority(
        &self,
        _: Request<GetTokenAuthorityRequest>,
    ) -> Result<Response<GetTokenAuthorityResponse>, Status> {
        Err(Status::unimplemented("the engine asks the registry itself"))
    }

    async fn verify_token_authority(
        &self,
        _: Request<VerifyTokenAuthorityRequest>,
    ) -> Result<Response<VerifyTokenAuthorityResponse>, Status> {
        Err(Status::unimplemented("the engine asks the registry itself"))
    }
}

/// The engine drops a session that is not healthy.
struct Healthy;

#[tonic::async_trait]
impl Health for Healthy {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(&self, _: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        Ok(Response::new(HealthCheckResponse { status: ServingStatus::Serving as i32 }))
    }

    async fn list(&self, _: Request<HealthListRequest>) -> Result<Response<HealthListResponse>, Status> {
        Err(Status::unimplemented("only \"check\" is answered"))
    }

    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("only \"check\" is answered"))
    }
}
