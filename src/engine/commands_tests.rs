//! Tests of the command parser.

use super::*;
use proptest::prelude::*;

/// What a step's output leads to: what is shown, and the commands.
fn feed(parser: &mut CommandParser, pieces: &[&[u8]]) -> (Vec<u8>, Vec<WorkflowCommand>) {
    let (mut shown, mut commands) = (Vec::new(), Vec::new());
    let mut act = |action: LineAction<'_>| match action {
        LineAction::Print(bytes) => shown.extend_from_slice(bytes),
        LineAction::Command(command) => commands.push(command),
        LineAction::PrintAndCommand(text, command) => {
            shown.extend_from_slice(text.as_bytes());
            commands.push(command);
        }
    };
    for piece in pieces {
        parser.feed(piece, &mut act);
    }
    parser.finish(&mut act);
    (shown, commands)
}

fn run(text: &str) -> (String, Vec<WorkflowCommand>) {
    let (shown, commands) = feed(&mut CommandParser::new(false, "/work"), &[text.as_bytes()]);
    (String::from_utf8(shown).unwrap(), commands)
}

fn annotation(line: &str) -> Annotation {
    match run(line).1.remove(0) {
        WorkflowCommand::Annotate(annotation) => annotation,
        other => panic!("{other:?}"),
    }
}

#[test]
fn annotations_are_shown_and_kept() {
    let (shown, _) = run("before\n::error file=a.rs::it broke\nafter\n");
    assert_eq!(shown, "before\nerror: it broke\nafter\n");
    let all = annotation("::warning title=T,file=/work/src/a.rs,line=3,endLine=3,col=4,endColumn=9::m");
    assert_eq!(
        (all.level, all.title.as_deref(), all.file.as_deref()),
        (AnnotationLevel::Warning, Some("T"), Some("src/a.rs"))
    );
    assert_eq!((all.line, all.end_line, all.column, all.end_column), (Some(3), Some(3), Some(4), Some(9)));
    assert_eq!(annotation("::notice endLine=7::m").line, Some(7));
    assert_eq!(annotation("::notice line=7,endLine=8,col=1::m").column, None);
    assert_eq!(annotation("::notice line=9,endLine=8::m").line, None);
    assert_eq!(annotation("::notice line=x,col=1::m").column, None);
    assert_eq!(annotation("::notice file=/workshop/a::m").file.as_deref(), Some("/workshop/a"));
}

#[test]
fn a_masked_value_is_never_shown() {
    for echo in ["", "::echo::on\n"] {
        let (shown, commands) = run(&format!("{echo}::add-mask::hush%0Ahush2\n"));
        assert!(!shown.contains("hush"), "{shown}");
        assert!(commands.contains(&WorkflowCommand::AddMask("hush\nhush2".into())));
    }
    let (shown, commands) = run("::add-mask::  \n");
    assert!(shown.starts_with("warning: "), "{shown}");
    assert!(matches!(commands[..], [WorkflowCommand::Warned(_)]));
}

#[test]
fn groups_nest() {
    let (shown, commands) = run("::group::outer\n::group::inner\nx\n::endgroup::\n::endgroup::\n::group::next\n");
    assert_eq!(shown, "▸ outer\n▸ inner\nx\n▸ next\n");
    let depths: Vec<usize> = commands
        .iter()
        .filter_map(|c| if let WorkflowCommand::Group { depth, .. } = c { Some(*depth) } else { None })
        .collect();
    assert_eq!(depths, [0, 1, 0]);
}

#[test]
fn debug_is_shown_when_asked_for() {
    assert_eq!(run("::debug::x\n").0, "");
    assert_eq!(feed(&mut CommandParser::new(true, ""), &[b"::debug::x\n"]).0, b"debug: x\n");
}

#[test]
fn outputs_and_state() {
    let (shown, commands) =
        run("::set-output name=a::1\n::echo::on\n::save-state name=b::2\n::echo::off\n::set-output::3\n");
    assert_eq!(
        shown,
        "::save-state name=b::2\n::echo::off\nerror: the command \"set-output\" lacks its property \"name\"\n"
    );
    assert_eq!(commands[0], WorkflowCommand::SetOutput { name: "a".into(), value: "1".into() });
    assert_eq!(commands[2], WorkflowCommand::SaveState { name: "b".into(), value: "2".into() });
    assert!(matches!(commands[4], WorkflowCommand::Failed(_)));
}

#[test]
fn set_env_and_add_path_fail_the_step() {
    for (line, file) in [("::set-env name=LD_PRELOAD::x", "GITHUB_ENV"), ("##[add-path]/evil", "GITHUB_PATH")] {
        let (shown, commands) = run(line);
        assert!(matches!(&commands[..], [WorkflowCommand::Failed(message)] if message.contains(file)), "{commands:?}");
        assert!(shown.starts_with("error: ") && !shown.contains("evil"), "{shown}");
    }
}

#[test]
fn stopped_commands_are_plain_until_the_token() {
    let (shown, commands) = run("::stop-commands::tok3n-1\n::error::x\n::stop-commands::y\n ::TOK3N-1::\n::error::z\n");
    assert_eq!(shown, "::error::x\n::stop-commands::y\n ::TOK3N-1::\nerror: z\n");
    assert_eq!(commands[0], WorkflowCommand::StopCommands { mask: Some("tok3n-1".into()) });
    assert_eq!(commands[1], WorkflowCommand::ResumeCommands);
    assert_eq!(commands.len(), 3);
    for token in ["", "pause-logging", "Error"] {
        assert!(matches!(run(&format!("::stop-commands::{token}")).1[..], [WorkflowCommand::Failed(_)]), "{token}");
    }
}

#[test]
fn carriage_returns_end_lines_too() {
    let (shown, commands) = run("10%\r90%\r::error::x\r\ntext\r\n::notice::y\r\n");
    assert_eq!(shown, "10%\r90%\rerror: x\ntext\r\nnotice: y\n");
    assert_eq!(commands.len(), 2);
}

#[test]
fn very_long_lines_are_plain_and_take_no_memory() {
    let mut parser = CommandParser::new(false, "");
    let long = [b"::error::", vec![b'x'; 3 * MAX_LINE].as_slice(), b"\n::error::y\n"].concat();
    for size in [1000, long.len()] {
        let pieces: Vec<&[u8]> = long.chunks(size).collect();
        let (shown, commands) = feed(&mut parser, &pieces);
        assert_eq!(commands.len(), 1);
        assert_eq!(shown.len(), long.len() - "::error::y\n".len() + "error: y\n".len());
        assert!(parser.partial.capacity() <= 2 * MAX_LINE);
    }
}

#[test]
fn a_prompt_goes_out_when_the_stream_is_quiet_but_half_a_command_does_not() {
    let mut parser = CommandParser::new(false, "");
    let (mut shown, mut commands) = (Vec::new(), 0);
    let mut act = |action: LineAction<'_>| match action {
        LineAction::Print(bytes) => shown.extend_from_slice(bytes),
        _ => commands += 1,
    };
    parser.feed(b"continue? ", &mut act);
    parser.idle(&mut act);
    parser.feed(b"::error::no\n::add-ma", &mut act);
    parser.idle(&mut act);
    parser.feed(b"sk::x\n", &mut act);
    assert_eq!(String::from_utf8_lossy(&shown), "continue? ::error::no\n");
    assert_eq!(commands, 1);
}

proptest! {
    #[test]
    fn any_split_leads_to_the_same(
        parts in prop::collection::vec(prop_oneof![
            "[a:#\\[\\]\r\n ]{0,6}".prop_map(String::into_bytes),
            prop::collection::vec(any::<u8>(), 0..4),
            prop::sample::select(vec!["::error::x\n", "::add-mask::m\r\n", "::stop-commands::tt\n", "::tt::\n", "\n"])
                .prop_map(|text| text.as_bytes().to_vec()),
        ], 0..12),
        size in 1_usize..7,
    ) {
        let text = parts.concat();
        let whole = feed(&mut CommandParser::new(false, ""), &[&text]);
        let pieces: Vec<&[u8]> = text.chunks(size).collect();
        prop_assert_eq!(feed(&mut CommandParser::new(false, ""), &pieces), whole);
    }

    #[test]
    fn plain_output_is_lossless(text in prop::collection::vec(any::<u8>(), 0..300), size in 1_usize..50) {
        prop_assume!(!text.windows(2).any(|w| w == b"::" || w == b"##"));
        let pieces: Vec<&[u8]> = text.chunks(size).collect();
        prop_assert_eq!(feed(&mut CommandParser::new(false, ""), &pieces), (text, vec![]));
    }
}
