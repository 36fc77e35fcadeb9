//! The codes of a file's mistakes: one for each kind. Docs print this table.

/// What a code stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// `E010`; warnings begin with `W`.
    pub code: &'static str,
    /// In a few words.
    pub title: &'static str,
    /// In a sentence.
    pub explanation: &'static str,
}

macro_rules! codes {
    ($($name:ident $code:literal $title:literal $explanation:literal)*) => {
        $(#[doc = $title] pub const $name: &str = $code;)*

        /// Every code in order.
        pub const ALL: &[Code] = &[$(Code { code: $code, title: $title, explanation: $explanation }),*];
    };
}

codes! {
    NOT_UTF8 "E001" "not UTF-8" "the file's bytes are no UTF-8 text; the message names the first wrong byte"
    BUDGET "E002" "too large" "the file is larger, deeper, or by its aliases heavier than is read"
    YAML "E003" "no YAML" "the text breaks YAML's rules; reading stops there"
    DUPLICATE_KEY "E004" "defined twice" "a map holds one key twice; which of the two is meant cannot be known"
    TAG "E005" "tag or merge key" "only the tags of YAML's core schema are read, and no merge keys, as on GitHub"
    EMPTY "E006" "empty file" "the file holds no pipeline"
    UNKNOWN_KEY "E010" "unknown key" "the key means nothing here"
    KIND "E011" "wrong kind of value" "a list stands where a text is wanted, or the like"
    MISSING "E012" "missing key" "a key that must be given is not"
    VALUE "E013" "value not allowed" "the value is none of those that are possible here"
    CONFLICT "E014" "keys that exclude each other" "two keys stand side by side of which only one may"
    EXPRESSION "E020" "no expression" "the text within `${{ }}` is no expression"
    CONTEXT "E021" "not available here" "the expression reads a context, or calls a function, that does not exist at this key"
    DIRECTIVE "E022" "misplaced directive" "`${{ insert }}` stands where it cannot"
    ID "E030" "bad id" "ids hold letters, digits, `-` and `_`, begin with a letter or `_`, and have at most 100 characters"
    DUPLICATE_ID "E031" "id used twice" "two jobs, or two steps of a job, have one id (case does not count)"
    UNKNOWN_NEED "E032" "unknown need" "`needs` names what is not in this file"
    SELF_NEED "E033" "needs itself" "a job cannot wait for itself"
    CYCLE "E034" "cycle" "jobs wait for each other in a ring, so none of them can start"
    NO_JOBS "E035" "no jobs" "there is nothing to run"
    TIMEOUT "E040" "bad timeout" "a timeout is a positive number of minutes"
    RETRY "E041" "bad retry" "retry is 0 to 10, or a map of `max` and `on`"
    CRON "E042" "bad cron line" "a cron line has five fields: minute, hour, day of month, month, day of week"
    SHELL "E043" "bad shell" "a shell is a known name or a command with `{0}` where the script's file goes"
    USES "E044" "bad uses" "`uses` is `owner/repository[/path]@ref`, `./path` or `docker://image`"
    CONCURRENCY "E045" "bad concurrency group" "the group is a text of 1 to 400 characters"
    MATRIX "E046" "bad matrix" "vectors are lists with at least one value; include and exclude are lists of maps"
    PERMISSION "E047" "bad permission" "permissions are `read-all`, `write-all`, or a map of scopes to read, write or none"
    FILTER "E048" "filters that exclude each other" "an event takes patterns to include or to ignore, not both; use `!` within one list"
    CONTAINER "E049" "container without image" "a container needs an image"
    TWO_TYPED "E050" "two typed keys" "a stage does one thing: at most one typed key, and none beside `run` or `steps`"
    TYPED_KEY "E051" "unknown key of a typed stage" "the typed key has no such setting"
    NOT_YET "E052" "cannot run yet" "this version reads the key and refuses to run it"
    TOO_MANY "E053" "too many stages in a list" "a list makes each stage wait for all before it; long ones are written as a map"
    SELECTION "E060" "unknown stage" "`--stage` or `--from` names what is not in the file"
    MATRIX_VALUE "E061" "matrix without jobs" "with the values at hand the matrix cannot be expanded, or no job is left"
    VALUE_LATE "E062" "no value" "an expression has no value with what is known"
    NO_IMAGE "E063" "no image" "everything is to run in Docker, and the stage has no image"
    UNTRUSTED "E064" "untrusted text in a script" "a value that an outsider can write would become part of the script"
    ALWAYS_TRUE "W001" "always true" "text beside `${{ }}` makes the condition a text that is not empty"
    BOTH_FILTERS "W002" "filters that exclude each other" "GitHub refuses patterns to include and to ignore side by side"
    UNKNOWN_EVENT "W003" "unknown event" "no forge sends an event of this name"
    ODD_TIMEOUT "W004" "timeout that is none" "GitHub reads timeouts of 0 and below, or without bound; no job lives with them"
    UNTRUSTED_RUN "W010" "untrusted text in a script" "a value that an outsider can write becomes part of the script"
    STEP_REFERENCE "W011" "unknown step" "`steps` is asked for a step that is not there, or comes later"
    NEED_REFERENCE "W012" "unknown need" "`needs` is asked for a stage or an output that it does not have"
    SECRET_MISSING "W013" "secret not given" "a secret is read for which no value is given; it will be empty"
    RUNS_ON_HOST "W014" "runs on the host" "`runs-on` names a label that stands for no image here"
}

#[cfg(test)]
mod tests {
    use super::ALL;

    #[test]
    fn codes_are_unique_and_in_order() {
        assert!(ALL.windows(2).all(|pair| pair[0].code < pair[1].code));
    }
}
