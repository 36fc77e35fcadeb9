//! What a container is made of: the engine's request from a spec, with the defaults that keep a job in its place.

use std::collections::HashMap;
use std::path::Path;

use bollard::models::{ContainerCreateBody, EndpointSettings, HostConfig, NetworkingConfig, PortBinding};

use crate::runner::contract::{ContainerSpec, RunnerError, SandboxSpec};
use crate::runner::docker::options::{Options, check_volume};

/// Where things are in a job's container.
pub const WORKSPACE: &str = "/github/workspace";
/// `RUNNER_TEMP`.
pub const TEMP: &str = "/github/temp";
/// `HOME`.
pub const HOME: &str = "/github/home";
/// The shim's folder: its socket, and the files of steps.
pub const BOX: &str = "/github/box";
/// `RUNNER_TOOL_CACHE`.
pub const TOOLS: &str = "/opt/hostedtoolcache";
/// The shim's program.
const SHIM: &str = "/github/shim";

/// Whose a container is.
pub const STATE_LABEL: &str = "dev.slipway.state";
/// Of which run.
pub const RUN_LABEL: &str = "dev.slipway.run";
const JOB_LABEL: &str = "dev.slipway.job";

/// What images that run as root need in order to install, to change owners and to serve; everything else is dropped.
const CAPABILITIES: [&str; 9] =
    ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID", "SETPCAP"];
/// Processes and threads of one container.
const PIDS: i64 = 4096;

/// The labels of everything that belongs to `spec`.
pub fn labels(spec: &SandboxSpec) -> HashMap<String, String> {
    HashMap::from([
        (STATE_LABEL.to_owned(), spec.state_label.clone()),
        (RUN_LABEL.to_owned(), spec.run.to_string()),
        (JOB_LABEL.to_owned(), spec.attempt.to_string()),
    ])
}

/// A container's options, checked.
pub fn options(container: &ContainerSpec, spec: &SandboxSpec) -> Result<Options, RunnerError> {
    let options = Options::parse(&container.options, spec.allow_privileged).map_err(RunnerError::Refused)?;
    for volume in &container.volumes {
        check_volume(volume, spec.allow_privileged).map_err(RunnerError::Refused)?;
    }
    Ok(options)
}

/// The job's container, with the shim as process 1.
pub fn job(
    spec: &SandboxSpec,
    container: &ContainerSpec,
    options: Options,
    shim: &Path,
    network: Option<&str>,
) -> ContainerCreateBody {
    let window = spec.resume_window.as_secs_f64().to_string();
    let socket = format!("{BOX}/sock");
    let token = format!("{BOX}/token");
    let mut body = common(spec, container, options, network, &[]);
    body.entrypoint = Some(vec![SHIM.to_owned()]);
    let arguments = ["serve", "--dir", BOX, "--socket", &socket, "--token-file", &token, "--window", &window, "--init"];
    body.cmd = Some(arguments.iter().map(|word| (*word).to_owned()).collect());
    body.working_dir = Some("/".to_owned());
    let host = body.host_config.get_or_insert_default();
    // The shim is process 1 itself.
    host.init = None;
    let bind = |from: &Path, to: &str| format!("{}:{to}", from.display());
    host.binds.get_or_insert_default().extend([
        bind(&spec.workspace, WORKSPACE),
        bind(&spec.folder.join("temp"), TEMP),
        bind(&spec.folder.join("home"), HOME),
        bind(&spec.folder.join("box"), BOX),
        bind(&spec.tool_cache, TOOLS),
        format!("{}:{SHIM}:ro", shim.display()),
    ]);
    body
}

/// A service's container. `publish`: its ports are needed on this machine, since the job runs there.
pub fn service(
    spec: &SandboxSpec,
    id: &str,
    container: &ContainerSpec,
    options: Options,
    network: &str,
    publish: bool,
) -> ContainerCreateBody {
    let entrypoint = options.entrypoint.clone();
    let workdir = options.workdir.clone();
    let mut body = common(spec, container, options, Some(network), &[id.to_owned()]);
    body.entrypoint = entrypoint.map(|program| vec![program]);
    body.working_dir = workdir;
    if !container.command.is_empty() {
        body.cmd = Some(container.command.clone());
    }
    if publish {
        let host = body.host_config.get_or_insert_default();
        for port in container.ports.iter().map(|port| container_port(port)) {
            body.exposed_ports.get_or_insert_default().push(port.clone());
            // No port is asked for: the engine takes a free one, so that two runs never meet.
            let binding = PortBinding { host_ip: Some("127.0.0.1".to_owned()), host_port: Some(String::new()) };
            host.port_bindings.get_or_insert_default().insert(port, Some(vec![binding]));
        }
    }
    body
}

/// The port within the container, with its protocol: `8080:80` gives `80/tcp`.
pub fn container_port(port: &str) -> String {
    let last = port.rsplit(':').next().unwrap_or(port);
    if last.contains('/') { last.to_owned() } else { format!("{last}/tcp") }
}

fn common(
    spec: &SandboxSpec,
    container: &ContainerSpec,
    options: Options,
    network: Option<&str>,
    aliases: &[String],
) -> ContainerCreateBody {
    let mut env: Vec<String> = container.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    env.extend(options.env);
    let mut labels_of = labels(spec);
    labels_of.extend(options.labels);
    let mut host: HostConfig = options.host;
    host.binds.get_or_insert_default().extend(container.volumes.iter().cloned());
    if host.privileged != Some(true) {
        host.cap_drop.get_or_insert_default().insert(0, "ALL".to_owned());
        host.cap_add.get_or_insert_default().extend(CAPABILITIES.iter().map(|name| (*name).to_owned()));
    }
    host.security_opt.get_or_insert_default().push("no-new-privileges".to_owned());
    host.pids_limit.get_or_insert(PIDS);
    let networking_config = network.map(|name| {
        let aliases = [aliases, &options.aliases].concat();
        let endpoint = EndpointSettings { aliases: Some(aliases), ..EndpointSettings::default() };
        NetworkingConfig { endpoints_config: Some(HashMap::from([(name.to_owned(), endpoint)])) }
    });
    if let Some(name) = network {
        host.network_mode = Some(name.to_owned());
    }
    ContainerCreateBody {
        image: Some(container.image.clone()),
        user: options.user,
        hostname: options.hostname,
        env: Some(env),
        labels: Some(labels_of),
        healthcheck: options.health,
        host_config: Some(host),
        networking_config,
        ..ContainerCreateBody::default()
    }
}
