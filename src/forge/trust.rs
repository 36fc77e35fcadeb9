//! What a run may do that an outsider could have made: nothing that reaches outside.
//!
//! A push to the repository was made by somebody who may write to it. A pull request was made by anybody: it is trusted only
//! when its commits lie in the repository itself and the forge says that its author may write there. What cannot be known is
//! not trusted.

use super::webhook::Happening;

/// Whether the author of a pull request may write to the repository, as the forge says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteAccess {
    /// They may.
    Yes,
    /// They may not.
    No,
    /// The forge was not asked, or did not say.
    Unknown,
}

/// Which file runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFrom {
    /// The one of the commit that runs.
    Commit,
    /// The one of the branch that the pull request wants to go to.
    Base,
}

/// What a run may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    /// Whose file runs.
    pub file: FileFrom,
    /// Whether it gets secrets.
    pub secrets: bool,
    /// Whether it may use environments.
    pub environments: bool,
    /// Whether it may push, back up, deploy, notify: all that changes something outside.
    pub outside: bool,
    /// Whether its jobs may run on the host itself.
    pub host_runner: bool,
    /// Why it is not trusted.
    pub untrusted: Option<String>,
}

impl Rights {
    /// The rights of a run for `happening`. `host_runner`: whether the configuration allows the host to this repository.
    pub fn of(happening: &Happening, access: WriteAccess, host_runner: bool) -> Self {
        let Some(why) = distrust(happening, access) else {
            return Self {
                file: FileFrom::Commit,
                secrets: true,
                environments: true,
                outside: true,
                host_runner,
                untrusted: None,
            };
        };
        Self {
            file: FileFrom::Base,
            secrets: false,
            environments: false,
            outside: false,
            host_runner: false,
            untrusted: Some(why),
        }
    }
}

/// Whether the forge has to be asked what the author may do: a fork is not trusted whoever made it.
pub fn must_ask(happening: &Happening) -> bool {
    happening.request.as_ref().is_some_and(|request| !request.from_fork)
}

fn distrust(happening: &Happening, access: WriteAccess) -> Option<String> {
    let request = happening.request.as_ref()?;
    let who = match (request.author.login.as_str(), request.author.id) {
        ("", Some(id)) => format!("user {id}"),
        ("", None) => "its author".to_owned(),
        (login, _) => format!("\"{login}\""),
    };
    if request.from_fork {
        return Some("it is a pull request of a fork".to_owned());
    }
    match access {
        WriteAccess::Yes => None,
        WriteAccess::No => Some(format!("{who} may not write to the repository")),
        WriteAccess::Unknown => Some(format!("the forge did not say whether {who} may write to the repository")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forge::webhook::{Person, PullRequest};

    fn happening(from_fork: Option<bool>) -> Happening {
        let request = from_fork.map(|from_fork| PullRequest {
            number: 1,
            base: "main".to_owned(),
            from_fork,
            author: Person { login: "ann".to_owned(), id: Some(7) },
        });
        Happening {
            event: if request.is_some() { "pull_request" } else { "push" },
            payload: serde_json::Value::Null,
            repository: "o/r".to_owned(),
            reference: "refs/heads/main".to_owned(),
            sha: "a".repeat(40),
            changed: None,
            request,
        }
    }

    /// T26 and T34: who sent it, against all that a run may do.
    #[test]
    fn t26_t34_golden_table_of_trust() {
        use WriteAccess::{No, Unknown, Yes};
        let mut table = String::new();
        for (name, from_fork) in [("push", None), ("pull request", Some(false)), ("pull request of a fork", Some(true))]
        {
            for access in [Yes, No, Unknown] {
                for allowed in [true, false] {
                    let rights = Rights::of(&happening(from_fork), access, allowed);
                    let yes = |is: bool| if is { "yes" } else { "-" };
                    table.push_str(&format!(
                        "{name:23} {:8} host {:4}| {:7} {:8} {:13} {:8} {:5} {}\n",
                        format!("{access:?}"),
                        yes(allowed),
                        format!("{:?}", rights.file),
                        yes(rights.secrets),
                        yes(rights.environments),
                        yes(rights.outside),
                        yes(rights.host_runner),
                        rights.untrusted.as_deref().unwrap_or("trusted"),
                    ));
                }
            }
        }
        let head = "who                     may write          | file    secrets  environments  outside  host  why\n";
        insta::assert_snapshot!(format!("{head}{table}"), @r#"
who                     may write          | file    secrets  environments  outside  host  why
push                    Yes      host yes | Commit  yes      yes           yes      yes   trusted
push                    Yes      host -   | Commit  yes      yes           yes      -     trusted
push                    No       host yes | Commit  yes      yes           yes      yes   trusted
push                    No       host -   | Commit  yes      yes           yes      -     trusted
push                    Unknown  host yes | Commit  yes      yes           yes      yes   trusted
push                    Unknown  host -   | Commit  yes      yes           yes      -     trusted
pull request            Yes      host yes | Commit  yes      yes           yes      yes   trusted
pull request            Yes      host -   | Commit  yes      yes           yes      -     trusted
pull request            No       host yes | Base    -        -             -        -     "ann" may not write to the repository
pull request            No       host -   | Base    -        -             -        -     "ann" may not write to the repository
pull request            Unknown  host yes | Base    -        -             -        -     the forge did not say whether "ann" may write to the repository
pull request            Unknown  host -   | Base    -        -             -        -     the forge did not say whether "ann" may write to the repository
pull request of a fork  Yes      host yes | Base    -        -             -        -     it is a pull request of a fork
pull request of a fork  Yes      host -   | Base    -        -             -        -     it is a pull request of a fork
pull request of a fork  No       host yes | Base    -        -             -        -     it is a pull request of a fork
pull request of a fork  No       host -   | Base    -        -             -        -     it is a pull request of a fork
pull request of a fork  Unknown  host yes | Base    -        -             -        -     it is a pull request of a fork
pull request of a fork  Unknown  host -   | Base    -        -             -        -     it is a pull request of a fork
"#);
    }

    #[test]
    fn forges_are_asked_only_where_the_answer_counts() {
        assert_eq!([None, Some(false), Some(true)].map(|fork| must_ask(&happening(fork))), [false, true, false]);
    }
}
