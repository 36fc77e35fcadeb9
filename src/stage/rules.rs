//! `notify:` of a file: who is told of what while a run goes on.

use crate::model::Node;

use super::notify::{CHANNELS, Channel, LATER, channels};
use super::settings::Reader;

/// What can be told of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoticeEvent {
    /// The run began.
    Started,
    /// A stage is over.
    Stage,
    /// A person is asked to decide.
    Waiting,
    /// A person approved.
    Approved,
    /// A person rejected, or nobody decided in time.
    Rejected,
    /// A release was taken back.
    Rollback,
    /// A person must look.
    Paged,
    /// A backup is late.
    Overdue,
    /// The run succeeded.
    Success,
    /// The run failed, was cancelled or lost.
    Failure,
}

impl NoticeEvent {
    /// All, in the order in which they may come.
    pub const ALL: [NoticeEvent; 10] = [
        NoticeEvent::Started,
        NoticeEvent::Stage,
        NoticeEvent::Waiting,
        NoticeEvent::Approved,
        NoticeEvent::Rejected,
        NoticeEvent::Rollback,
        NoticeEvent::Paged,
        NoticeEvent::Overdue,
        NoticeEvent::Success,
        NoticeEvent::Failure,
    ];

    /// Those of a rule that names none.
    pub const DEFAULT: [NoticeEvent; 6] = [
        NoticeEvent::Waiting,
        NoticeEvent::Rejected,
        NoticeEvent::Rollback,
        NoticeEvent::Paged,
        NoticeEvent::Success,
        NoticeEvent::Failure,
    ];

    /// As the file spells it.
    pub fn name(self) -> &'static str {
        match self {
            NoticeEvent::Started => "started",
            NoticeEvent::Stage => "stage",
            NoticeEvent::Waiting => "waiting",
            NoticeEvent::Approved => "approved",
            NoticeEvent::Rejected => "rejected",
            NoticeEvent::Rollback => "rollback",
            NoticeEvent::Paged => "paged",
            NoticeEvent::Overdue => "overdue",
            NoticeEvent::Success => "success",
            NoticeEvent::Failure => "failure",
        }
    }
}

/// The words of `events`; `all` stands first, so that an expression has it as its placeholder.
const WORDS: [&str; 11] = [
    "all", "started", "stage", "waiting", "approved", "rejected", "rollback", "paged", "overdue", "success", "failure",
];

/// A rule: these channels hear of these events.
#[derive(Debug, Clone, PartialEq)]
pub struct NotifyRule {
    /// Where messages go.
    pub channels: Vec<Channel>,
    /// Of what.
    pub events: Vec<NoticeEvent>,
}

impl NotifyRule {
    /// Reads the rules: a list, or one rule. What is wrong is reported.
    pub fn read_all(reader: &mut Reader<'_>, node: &Node) -> Vec<Self> {
        match node.items() {
            Some(items) => items.iter().filter_map(|item| Self::read(reader, item)).collect(),
            None if node.is_null() => Vec::new(),
            None => Self::read(reader, node).into_iter().collect(),
        }
    }

    fn read(reader: &mut Reader<'_>, node: &Node) -> Option<Self> {
        let keys: Vec<&'static str> = CHANNELS.into_iter().chain(LATER).chain(["events"]).collect();
        let settings = reader.map("notify", node, &keys, &[])?;
        let channels = channels(reader, &settings);
        let events = match settings.get("events") {
            Some(node) => events(reader, node)?,
            None => NoticeEvent::DEFAULT.to_vec(),
        };
        Some(Self { channels, events })
    }
}

fn events(reader: &mut Reader<'_>, node: &Node) -> Option<Vec<NoticeEvent>> {
    let mut events = Vec::new();
    for item in node.items().unwrap_or(std::slice::from_ref(node)) {
        match reader.word("events", item, &WORDS)? {
            "all" => return Some(NoticeEvent::ALL.to_vec()),
            word => events.extend(NoticeEvent::ALL.into_iter().find(|event| event.name() == word)),
        }
    }
    events.dedup();
    Some(events)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Diagnostics;
    use crate::model::ReadOptions;
    use crate::secret::Secret;
    use crate::span::Source;

    /// The rules of a file with this `notify`, and what is wrong with it.
    fn rules(notify: &str, open: bool) -> (Vec<NotifyRule>, Vec<String>) {
        let text = format!("notify: {notify}\nstages:\n  s: {{run: make}}\n");
        let source = Source::new("s.yml", text);
        let (pipeline, _) = crate::model::read(source.clone(), &ReadOptions::default());
        let mut diagnostics = Diagnostics::new(source);
        let mut reader = if open { Reader::of_file(&mut diagnostics) } else { Reader::of_values(&mut diagnostics) };
        let node = pipeline.expect("the file is read").notify.expect("it has rules");
        let rules = NotifyRule::read_all(&mut reader, &node);
        (rules, diagnostics.list.into_iter().map(|d| [d.message, d.help.unwrap_or_default()].join("|")).collect())
    }

    #[test]
    fn a_rule_names_channels_and_events() {
        let (list, wrong) = rules(
            "[{slack: \"https://a\", email: [a@b.c], events: all}, {webhook: {url: \"https://b\", headers: {X-Team: web}, \
             secret: s}, issue: {labels: [x]}, events: [rollback, paged]}, {slack: [\"https://a\", \"https://b\"]}]",
            false,
        );
        assert_eq!(wrong, [""; 0]);
        assert_eq!(list[0].events, NoticeEvent::ALL);
        assert_eq!(list[0].channels.iter().map(Channel::name).collect::<Vec<_>>(), ["slack", "email"]);
        assert_eq!(list[1].events, [NoticeEvent::Rollback, NoticeEvent::Paged]);
        assert_eq!(
            list[1].channels,
            [
                Channel::Issue { labels: vec!["x".to_owned()] },
                Channel::Webhook {
                    url: Secret::new("https://b"),
                    headers: vec![("X-Team".to_owned(), Secret::new("web"))],
                    secret: Some(Secret::new("s")),
                },
            ]
        );
        assert_eq!(list[2].events, NoticeEvent::DEFAULT);
        assert_eq!(list[2].channels.len(), 2);
        let (one, wrong) = rules("{issue: , events: failure}", false);
        assert_eq!((one.len(), wrong.len(), one[0].events.len()), (1, 0, 1));
    }

    #[test]
    fn expressions_wait_and_values_are_checked() {
        let open = "[{slack: \"${{ secrets.S }}\", email: \"${{ vars.TO }}\", events: \"${{ vars.E }}\"}]";
        assert_eq!(rules(open, true).1, [""; 0]);
        for (text, wanted) in [
            ("[{slack: \"\", email: a@b}]", "\"slack\" is a URL|it is empty: is its secret given?"),
            ("[{slack: , issue: }]", "\"slack\" has no value|is its secret given?"),
            ("[{webhook: {url: }}]", "\"url\" has no value|is its secret given?"),
            ("[{webhook: {url: \"https://a\", secret: }}]", "\"secret\" has no value|"),
            ("[{slack: hunter2}]", "\"slack\" is a URL|what is given does not begin with https:// or http://"),
            ("[{email: nobody}]", "\"email\" is an email address, not \"nobody\"|"),
            ("[{events: all}]", "\"notify\" needs a channel: slack, email, issue, webhook|"),
            ("[{slack: \"https://a\", events: [wating]}]", "\"events\" cannot be \"wating\"|did you mean \"waiting\"?"),
            ("[{slak: \"https://a\", issue: {}}]", "\"slak\" is not a key of \"notify\"|did you mean \"slack\"?"),
            ("[{webhook: {headers: {}}}]", "\"webhook\" needs the key \"url\"|"),
            ("[{webhook: {url: \"https://a\", headers: {\"A: b\": c}}}]", "\"A: b\" cannot be a header of a webhook|"),
            ("[{email: {to: a@b, smtp: mail}}]", "\"smtp\" is the URL of a mail server|smtp://host:25"),
            ("[{teams: x}]", "\"notify\" has \"teams\", which this version reads but cannot do yet|"),
        ] {
            let (_, wrong) = rules(text, false);
            assert!(wrong.join("\n").contains(wanted), "{text}: {wrong:?}");
            assert!(!wrong.join("").contains("hunter2"), "an address may be a secret");
        }
    }
}
