//! The keys of `on`: events and their filters.

use super::keys::{Contexts as C, Form, Key, Table, key};

const fn event(name: &'static str, form: Form) -> Key {
    key(name, form, C::NONE, "An event that starts the pipeline.")
}

const TYPES: Key = key("types", Form::Texts, C::NONE, "Only these activities.");
const BRANCHES: &[Key] = &[
    key("branches", Form::Texts, C::NONE, "Only branches that match; a `!` takes away."),
    key("branches-ignore", Form::Texts, C::NONE, "No branch that matches."),
];
const TAGS: &[Key] = &[
    key("tags", Form::Texts, C::NONE, "Only tags that match; a `!` takes away."),
    key("tags-ignore", Form::Texts, C::NONE, "No tag that matches."),
];
const PATHS: &[Key] = &[
    key("paths", Form::Texts, C::NONE, "Only when a changed path matches; a `!` takes away."),
    key("paths-ignore", Form::Texts, C::NONE, "Not when every changed path matches."),
];

static PLAIN: Table = Table { name: "an event", groups: &[&[TYPES]], required: &[] };
static PUSH: Table = Table { name: "push", groups: &[BRANCHES, TAGS, PATHS], required: &[] };
static PULL_REQUEST: Table = Table { name: "pull_request", groups: &[&[TYPES], BRANCHES, PATHS], required: &[] };
static MERGE_GROUP: Table = Table { name: "merge_group", groups: &[&[TYPES], BRANCHES], required: &[] };
static WORKFLOW_RUN: Table = Table {
    name: "workflow_run",
    groups: &[&[TYPES, key("workflows", Form::Texts, C::NONE, "The pipelines that are watched.")], BRANCHES],
    required: &[],
};
static IMAGE_VERSION: Table = Table {
    name: "image_version",
    groups: &[&[
        TYPES,
        key("names", Form::Texts, C::NONE, "Only images of these names."),
        key("versions", Form::Texts, C::NONE, "Only these versions."),
    ]],
    required: &[],
};
static WORKFLOW_DISPATCH: Table = Table {
    name: "workflow_dispatch",
    groups: &[&[key("inputs", Form::MapOf(&Form::Map(&DISPATCH_INPUT)), C::NONE, "What is asked of who starts it.")]],
    required: &[],
};
static WORKFLOW_CALL: Table = Table {
    name: "workflow_call",
    groups: &[&[
        key("inputs", Form::MapOf(&Form::Map(&CALL_INPUT)), C::NONE, "What the caller gives."),
        key("outputs", Form::MapOf(&Form::Map(&CALL_OUTPUT)), C::NONE, "What the caller gets."),
        key(
            "secrets",
            Form::MapOf(&Form::OneOf(&[Form::Null, Form::Map(&CALL_SECRET)])),
            C::NONE,
            "Secrets that the caller gives.",
        ),
    ]],
    required: &[],
};

const INPUT: &[Key] = &[
    key("description", Form::Text, C::NONE, "What people see."),
    key("required", Form::Bool, C::NONE, "Whether it must be given."),
    key("default", Form::Any, C::FILE, "The value when none is given."),
];

/// The types of a `workflow_dispatch` input.
pub const DISPATCH_TYPES: &[&str] = &["string", "number", "boolean", "choice", "environment"];
/// The types of a `workflow_call` input.
pub const CALL_TYPES: &[&str] = &["string", "number", "boolean"];

/// An input of `workflow_dispatch`.
pub static DISPATCH_INPUT: Table = Table {
    name: "an input",
    groups: &[
        INPUT,
        &[
            key("type", Form::Choice(DISPATCH_TYPES), C::NONE, "Its type, by default `string`."),
            key("options", Form::Texts, C::NONE, "The values of a `choice`."),
            key("deprecationMessage", Form::Text, C::NONE, "Why it should not be used any more."),
        ],
    ],
    required: &[],
};

/// An input of `workflow_call`.
pub static CALL_INPUT: Table = Table {
    name: "an input",
    groups: &[INPUT, &[key("type", Form::Choice(CALL_TYPES), C::NONE, "Its type.")]],
    required: &["type"],
};

static CALL_OUTPUT: Table = Table {
    name: "an output",
    groups: &[&[
        key("description", Form::Text, C::NONE, "What people see."),
        key("value", Form::Text, C::CALL_OUTPUT, "The value."),
    ]],
    required: &["value"],
};
static CALL_SECRET: Table = Table {
    name: "a secret",
    groups: &[&[
        key("description", Form::Text, C::NONE, "What people see."),
        key("required", Form::Bool, C::NONE, "Whether it must be given."),
    ]],
    required: &[],
};
static SCHEDULE_ITEM: Table = Table {
    name: "a schedule",
    groups: &[&[
        key("cron", Form::Text, C::NONE, "Minute, hour, day of month, month, day of week."),
        key("timezone", Form::Text, C::NONE, "The zone in which the line is read; UTC by default."),
    ]],
    required: &["cron"],
};

const fn with(table: &'static Table) -> [Form; 2] {
    [Form::Null, Form::Map(table)]
}

const PLAIN_FORM: Form = Form::OneOf(&with(&PLAIN));

/// `on` as a map.
pub static EVENTS: Table = Table {
    name: "on",
    groups: &[&[
        event("push", Form::OneOf(&with(&PUSH))),
        event("pull_request", Form::OneOf(&with(&PULL_REQUEST))),
        event("pull_request_target", Form::OneOf(&with(&PULL_REQUEST))),
        event("schedule", Form::List(&Form::Map(&SCHEDULE_ITEM))),
        event("workflow_dispatch", Form::OneOf(&with(&WORKFLOW_DISPATCH))),
        event("workflow_call", Form::OneOf(&with(&WORKFLOW_CALL))),
        event("workflow_run", Form::OneOf(&with(&WORKFLOW_RUN))),
        event("merge_group", Form::OneOf(&with(&MERGE_GROUP))),
        event("image_version", Form::OneOf(&with(&IMAGE_VERSION))),
        event("branch_protection_rule", PLAIN_FORM),
        event("check_run", PLAIN_FORM),
        event("check_suite", PLAIN_FORM),
        event("create", PLAIN_FORM),
        event("delete", PLAIN_FORM),
        event("deployment", PLAIN_FORM),
        event("deployment_status", PLAIN_FORM),
        event("discussion", PLAIN_FORM),
        event("discussion_comment", PLAIN_FORM),
        event("fork", PLAIN_FORM),
        event("gollum", PLAIN_FORM),
        event("issue_comment", PLAIN_FORM),
        event("issues", PLAIN_FORM),
        event("label", PLAIN_FORM),
        event("member", PLAIN_FORM),
        event("milestone", PLAIN_FORM),
        event("page_build", PLAIN_FORM),
        event("project", PLAIN_FORM),
        event("project_card", PLAIN_FORM),
        event("project_column", PLAIN_FORM),
        event("public", PLAIN_FORM),
        event("pull_request_comment", PLAIN_FORM),
        event("pull_request_review", PLAIN_FORM),
        event("pull_request_review_comment", PLAIN_FORM),
        event("registry_package", PLAIN_FORM),
        event("release", PLAIN_FORM),
        event("repository_dispatch", PLAIN_FORM),
        event("status", PLAIN_FORM),
        event("watch", PLAIN_FORM),
    ]],
    required: &[],
};

/// The events' names.
pub const EVENT_NAMES: &[&str] = &[
    "push",
    "pull_request",
    "pull_request_target",
    "schedule",
    "workflow_dispatch",
    "workflow_call",
    "workflow_run",
    "merge_group",
    "image_version",
    "branch_protection_rule",
    "check_run",
    "check_suite",
    "create",
    "delete",
    "deployment",
    "deployment_status",
    "discussion",
    "discussion_comment",
    "fork",
    "gollum",
    "issue_comment",
    "issues",
    "label",
    "member",
    "milestone",
    "page_build",
    "project",
    "project_card",
    "project_column",
    "public",
    "pull_request_comment",
    "pull_request_review",
    "pull_request_review_comment",
    "registry_package",
    "release",
    "repository_dispatch",
    "status",
    "watch",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_of_the_table() {
        assert!(EVENTS.keys().map(|key| key.name).eq(EVENT_NAMES.iter().copied()));
    }
}
