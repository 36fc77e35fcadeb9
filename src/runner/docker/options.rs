//! The `options:` of a container: docker create's options as one string. Split like a shell splits, nothing is expanded;
//! what is not known is refused by name, and so is what widens rights, unless that was allowed.

use std::collections::HashMap;

use bollard::models::{DeviceMapping, HealthConfig, HostConfig, ResourcesUlimits};

/// The options, read.
#[derive(Debug, Default)]
pub struct Options {
    /// `--user`.
    pub user: Option<String>,
    /// `--env`.
    pub env: Vec<String>,
    /// `--hostname`.
    pub hostname: Option<String>,
    /// `--workdir`.
    pub workdir: Option<String>,
    /// `--entrypoint`.
    pub entrypoint: Option<String>,
    /// `--network-alias`.
    pub aliases: Vec<String>,
    /// `--label`.
    pub labels: HashMap<String, String>,
    /// `--health-*`.
    pub health: Option<HealthConfig>,
    /// Everything that goes to the host configuration.
    pub host: HostConfig,
}

impl Options {
    /// Reads `text`. Errors name the option and the way out.
    pub fn parse(text: &str, allow_privileged: bool) -> Result<Self, String> {
        let mut options = Self::default();
        let mut words = split(text)?.into_iter();
        while let Some(word) = words.next() {
            let (name, given) = match word.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name.to_owned(), Some(value.to_owned())),
                _ if word.starts_with('-') && !word.starts_with("--") && word.chars().count() > 2 => {
                    (word.chars().take(2).collect(), Some(word.chars().skip(2).collect()))
                }
                _ => (word, None),
            };
            if options.flag(&name, given.as_deref())? {
                continue;
            }
            let value = match given {
                Some(value) => value,
                None => words.next().ok_or_else(|| format!("container option \"{name}\" needs a value"))?,
            };
            if widens(&name, &value) && !allow_privileged {
                return Err(refused(&name));
            }
            options.set(&name, value, allow_privileged)?;
        }
        if options.host.privileged == Some(true) && !allow_privileged {
            return Err(refused("--privileged"));
        }
        Ok(options)
    }

    /// Options that need no value.
    fn flag(&mut self, name: &str, given: Option<&str>) -> Result<bool, String> {
        let on = match given {
            None | Some("true") => true,
            Some("false") => false,
            Some(_) => return Ok(false),
        };
        match name {
            "--privileged" => self.host.privileged = Some(on),
            "--init" => self.host.init = Some(on),
            "--read-only" => self.host.readonly_rootfs = Some(on),
            "--no-healthcheck" if on => {
                self.health().test = Some(vec!["NONE".to_owned()]);
            }
            // A sandbox is removed in any case, and nobody is attached to it.
            "--rm" | "--detach" | "-d" | "--interactive" | "-i" | "--tty" | "-t" => {}
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn set(&mut self, name: &str, value: String, allow_privileged: bool) -> Result<(), String> {
        let host = &mut self.host;
        let wrong = |what: &str| format!("container option \"{name}\" has the value \"{value}\", and {what}");
        match name {
            "--user" | "-u" => self.user = Some(value),
            "--env" | "-e" => self.env.push(value),
            "--hostname" | "-h" => self.hostname = Some(value),
            // The way out of a container by a descriptor that the engine left open goes by here.
            "--workdir" | "-w" if value.starts_with("/proc") => return Err(wrong("it may not be below /proc")),
            "--workdir" | "-w" => self.workdir = Some(value),
            "--entrypoint" => self.entrypoint = Some(value),
            "--network-alias" => self.aliases.push(value),
            "--publish" | "-p" => {
                return Err(format!("container option \"{name}\" is not taken: write the port under \"ports:\""));
            }
            "--label" | "-l" => {
                let (key, value) = value.split_once('=').unwrap_or((&value, ""));
                self.labels.insert(key.to_owned(), value.to_owned());
            }
            "--cpus" => {
                let cpus = value.parse::<f64>().ok().filter(|cpus| *cpus > 0.0);
                host.nano_cpus = Some((cpus.ok_or_else(|| wrong("it is a number"))? * 1e9) as i64);
            }
            "--memory" | "-m" => host.memory = Some(bytes(&value).ok_or_else(|| wrong("it is a size such as 512m"))?),
            "--memory-swap" => {
                host.memory_swap = Some(bytes(&value).ok_or_else(|| wrong("it is a size such as 512m"))?);
            }
            "--shm-size" => host.shm_size = Some(bytes(&value).ok_or_else(|| wrong("it is a size such as 64m"))?),
            "--pids-limit" => {
                host.pids_limit = Some(value.parse().map_err(|_| wrong("it is a whole number"))?);
            }
            "--cpuset-cpus" => host.cpuset_cpus = Some(value),
            "--volume" | "-v" => {
                check_volume(&value, allow_privileged)?;
                host.binds.get_or_insert_default().push(value);
            }
            "--tmpfs" => {
                let (path, options) = value.split_once(':').unwrap_or((&value, ""));
                host.tmpfs.get_or_insert_default().insert(path.to_owned(), options.to_owned());
            }
            "--ulimit" => {
                let read = || {
                    let (name, limits) = value.split_once('=')?;
                    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
                    let (soft, hard) = (soft.parse().ok()?, hard.parse().ok()?);
                    Some(ResourcesUlimits { name: Some(name.to_owned()), soft: Some(soft), hard: Some(hard) })
                };
                let limit = read().ok_or_else(|| wrong("it has the form nofile=1024:2048"))?;
                host.ulimits.get_or_insert_default().push(limit);
            }
            "--add-host" => host.extra_hosts.get_or_insert_default().push(value),
            "--dns" => host.dns.get_or_insert_default().push(value),
            "--cap-drop" => host.cap_drop.get_or_insert_default().push(value),
            "--cap-add" => host.cap_add.get_or_insert_default().push(value),
            "--security-opt" => host.security_opt.get_or_insert_default().push(value),
            "--device" => {
                let mut parts = value.split(':');
                let from = parts.next().unwrap_or_default().to_owned();
                let to = parts.next().unwrap_or(&from).to_owned();
                host.devices.get_or_insert_default().push(DeviceMapping {
                    path_on_host: Some(from),
                    path_in_container: Some(to),
                    cgroup_permissions: Some(parts.next().unwrap_or("rwm").to_owned()),
                });
            }
            "--group-add" => host.group_add.get_or_insert_default().push(value),
            "--pid" => host.pid_mode = Some(value),
            "--ipc" => host.ipc_mode = Some(value),
            "--uts" => host.uts_mode = Some(value),
            "--userns" => host.userns_mode = Some(value),
            // A job's own network comes before this: services are reached in it.
            "--network" | "--net" => host.network_mode = Some(value),
            "--health-cmd" => {
                self.health().test = Some(vec!["CMD-SHELL".to_owned(), value]);
            }
            "--health-interval" | "--health-timeout" | "--health-start-period" => {
                let time = nanoseconds(&value).ok_or_else(|| wrong("it is a duration such as 5s"))?;
                let health = self.health();
                match name {
                    "--health-interval" => health.interval = Some(time),
                    "--health-timeout" => health.timeout = Some(time),
                    _ => health.start_period = Some(time),
                }
            }
            "--health-retries" => {
                let retries = value.parse().map_err(|_| wrong("it is a whole number"))?;
                self.health().retries = Some(retries);
            }
            _ => {
                return Err(format!(
                    "container option \"{name}\" is not known; known are --user, --env, --cpus, --memory, --volume, --tmpfs, --ulimit, --shm-size, --hostname, --workdir, --add-host, --dns, --label, --health-*, --cap-drop and a few more (docs/pipeline.md)"
                ));
            }
        }
        Ok(())
    }

    fn health(&mut self) -> &mut HealthConfig {
        self.health.get_or_insert_default()
    }
}

/// What docker itself gives every container: adding it gives back what Slipway drops, and no more.
const USUAL_CAPABILITIES: [&str; 14] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Options that give a container more rights than docker gives by itself.
fn widens(name: &str, value: &str) -> bool {
    match name {
        "--device" | "--pid" | "--uts" | "--userns" | "--group-add" => true,
        "--ipc" => !matches!(value, "none" | "private" | "shareable"),
        "--network" | "--net" => !matches!(value, "none" | "bridge" | "default"),
        "--cap-add" => {
            let name = value.to_uppercase();
            !USUAL_CAPABILITIES.contains(&name.strip_prefix("CAP_").unwrap_or(&name))
        }
        "--security-opt" => !matches!(value, "no-new-privileges" | "no-new-privileges:true"),
        _ => false,
    }
}

fn refused(name: &str) -> String {
    format!("container option \"{name}\" widens the job's rights on this machine; allow it with --allow-privileged")
}

/// `volumes:` and `--volume`: folders of this machine are binds, and those need to be allowed; named volumes do not.
pub fn check_volume(volume: &str, allow_privileged: bool) -> Result<(), String> {
    let source = volume.split(':').next().unwrap_or_default();
    let is_path =
        volume.contains(':') && (source.starts_with('/') || source.starts_with('.') || source.starts_with('~'));
    if is_path && !allow_privileged {
        return Err(format!(
            "volume \"{volume}\" binds a folder of this machine into the container; allow it with --allow-privileged, or use a named volume"
        ));
    }
    Ok(())
}

/// Words as a shell makes them of quotes and backslashes.
pub fn split(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let (mut word, mut inside, mut quote) = (String::new(), false, None);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(q), c) if q == c => quote = None,
            (Some('"') | None, '\\') => {
                inside = true;
                word.extend(chars.next());
            }
            (Some(_), c) => word.push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                inside = true;
            }
            (None, c) if c.is_whitespace() => {
                if inside {
                    words.push(std::mem::take(&mut word));
                }
                inside = false;
            }
            (None, c) => {
                word.push(c);
                inside = true;
            }
        }
    }
    if quote.is_some() {
        return Err(format!("container options end in the middle of a quoted text: {text}"));
    }
    if inside {
        words.push(word);
    }
    Ok(words)
}

/// `512m`, `1g`, `100`.
fn bytes(text: &str) -> Option<i64> {
    let lower = text.to_lowercase();
    let number = lower.trim_end_matches('b');
    let (digits, shift) = match number.chars().last()? {
        'k' => (&number[..number.len() - 1], 10),
        'm' => (&number[..number.len() - 1], 20),
        'g' => (&number[..number.len() - 1], 30),
        _ => (number, 0),
    };
    let value = digits.parse::<f64>().ok()?;
    (value.is_finite() && value >= -1.0).then(|| (value * (1u64 << shift) as f64) as i64)
}

/// `5s`, `1m30s`, `200ms`, as nanoseconds.
fn nanoseconds(text: &str) -> Option<i64> {
    let (mut total, mut rest) = (0i64, text);
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let value = rest[..end].parse::<f64>().ok()?;
        rest = &rest[end..];
        let units = [("ms", 1e6), ("us", 1e3), ("ns", 1.0), ("h", 3.6e12), ("m", 6e10), ("s", 1e9)];
        let (unit, scale) = units.iter().find(|(unit, _)| rest.starts_with(unit))?;
        rest = &rest[unit.len()..];
        total = total.checked_add((value * scale) as i64)?;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_options_are_read() {
        let text = "--user 1000:1000 -e A=1 --env B='x y' --cpus 1.5 -m512m --health-cmd \"pg_isready -U a\" --health-interval=1m30s --init";
        let options = Options::parse(text, false).expect("known options");
        assert_eq!(options.user.as_deref(), Some("1000:1000"));
        assert_eq!(options.env, ["A=1", "B=x y"]);
        assert_eq!((options.host.nano_cpus, options.host.memory), (Some(1_500_000_000), Some(512 << 20)));
        let health = options.health.expect("said");
        assert_eq!(health.test.expect("said"), ["CMD-SHELL", "pg_isready -U a"]);
        assert_eq!(health.interval, Some(90_000_000_000));
        assert_eq!(options.host.init, Some(true));
    }

    #[test]
    fn what_widens_rights_must_be_allowed() {
        let wide = [
            "--privileged",
            "--cap-add SYS_ADMIN",
            "--device=/dev/kvm",
            "--pid host",
            "-v /:/host",
            "--security-opt seccomp=unconfined",
            "--ipc=host",
            "--network host",
            "--net container:other",
        ];
        for text in wide {
            let error = Options::parse(text, false).expect_err(text);
            assert!(error.contains("--allow-privileged"), "{error}");
            Options::parse(text, true).expect(text);
        }
        for text in [
            "-v data:/data",
            "--cap-add NET_RAW",
            "--cap-add=cap_sys_chroot",
            "--ipc private",
            "--network none",
            "--privileged=false",
        ] {
            Options::parse(text, false).expect(text);
        }
    }

    #[test]
    fn what_is_not_known_is_named() {
        for (text, word) in [
            ("--blkio 5", "--blkio"),
            ("-p 80:80", "ports:"),
            ("-w /proc/self/fd/8", "/proc"),
            ("--user", "needs a value"),
            ("-m x", "-m"),
            ("'a", "quoted"),
        ] {
            let error = Options::parse(text, true).expect_err(text);
            assert!(error.contains(word), "{error}");
        }
    }
}
