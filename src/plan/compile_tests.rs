use super::*;
use crate::plan::testing::{inputs, messages, plan_with};

const DIAMOND: &str = "
stages:
  d: {needs: [b, c], run: 'true'}
  b: {needs: a, run: 'true'}
  c: {needs: a, run: 'true'}
  a: {run: 'true'}
";

fn selected(selection: Selection) -> Vec<String> {
    let (plan, _) = plan_with(DIAMOND, PlanInputs { selection, ..inputs() }).unwrap();
    plan.stages.iter().filter(|stage| stage.selected).map(|stage| stage.id.to_string()).collect()
}

#[test]
fn order_follows_needs_and_then_the_file() {
    let (plan, _) = plan_with(DIAMOND, inputs()).unwrap();
    let order: Vec<&str> = plan.order.iter().map(|at| plan.stage(*at).id.as_str()).collect();
    assert_eq!(order, ["a", "b", "c", "d"]);
    assert_eq!(plan.stages[3].dependents, [StageIndex(1), StageIndex(2)]);
}

#[test]
fn stages_come_with_what_they_need_and_from_with_what_follows() {
    let choose = |stages: &[&str], from: &[&str]| {
        let own = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
        selected(Selection { stages: own(stages), from: own(from), matrix: Vec::new() })
    };
    assert_eq!(choose(&["b"], &[]), ["b", "a"]);
    assert_eq!(choose(&[], &["b"]), ["d", "b"]);
    assert_eq!(choose(&["A"], &["c"]), ["d", "c", "a"]);
}

#[test]
fn an_unknown_stage_is_an_error_with_a_way_out() {
    let selection = Selection { stages: vec!["bb".into()], from: vec!["zzzzzz".into()], ..Selection::default() };
    let diagnostics = plan_with(DIAMOND, PlanInputs { selection, ..inputs() }).unwrap_err();
    assert_eq!(diagnostics.list.len(), 2);
    let helps: Vec<&str> = diagnostics.list.iter().filter_map(|d| d.help.as_deref()).collect();
    assert_eq!(helps, ["did you mean \"b\"?", "defined are: d, b, c, a"]);
}

#[test]
fn matrices_are_expanded_when_they_can_be() {
    let text = "
stages:
  a: {run: 'true', outputs: {m: '[1]'}}
  b: {strategy: {matrix: {v: [1, 2]}}, name: 'B ${{ matrix.v }} of ${{ strategy.job-total }}', run: 'true'}
  c: {needs: a, strategy: {matrix: {v: '${{ fromJSON(needs.a.outputs.m) }}'}}, run: 'true'}
  d: {strategy: {matrix: {v: [1, 2]}}, name: D, run: 'true'}
";
    let (plan, _) = plan_with(text, inputs()).unwrap();
    let names = |at: usize| match &plan.stages[at].legs {
        Legs::Fixed(legs) => legs.iter().map(|leg| format!("{} {}", leg.job, leg.name)).collect(),
        Legs::Late => vec!["late".to_owned()],
    };
    assert_eq!(names(0), ["a a"]);
    assert_eq!(names(1), ["b.1 B 1 of 2", "b.2 B 2 of 2"]);
    assert_eq!(names(2), ["late"]);
    assert_eq!(names(3), ["d.1 D (1)", "d.2 D (2)"]);
    let mut scope = Base::new(&plan.inputs).scope();
    let need = contexts::Need { id: "a".into(), result: "success".into(), outputs: vec![("m".into(), "[7,8]".into())] };
    scope.set("needs", contexts::needs([need]));
    let legs = late_legs(&plan, StageIndex(2), &scope).unwrap();
    assert_eq!(legs[1].name, "c (8)");
}

#[test]
fn matrix_values_choose_legs_and_keep_their_numbers() {
    let text = "stages: {b: {strategy: {matrix: {v: [1, 2], os: [x, y]}}, run: 'true'}, c: {run: 'true'}}";
    let choose = |pairs: &[(&str, &str)]| {
        let matrix = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        plan_with(text, PlanInputs { selection: Selection { matrix, ..Selection::default() }, ..inputs() })
    };
    let (plan, _) = choose(&[("V", "2")]).unwrap();
    let Legs::Fixed(legs) = &plan.stages[0].legs else { panic!("late") };
    assert_eq!(legs.iter().map(|leg| leg.job.as_str()).collect::<Vec<_>>(), ["b.3", "b.4"]);
    let wrong = choose(&[("v", "3")]).unwrap_err();
    assert!(messages(&wrong)[0].contains("no leg agrees with --matrix v:3; there are b (1, x)"), "{wrong:?}");
}

#[test]
fn the_hash_depends_on_what_is_planned_only() {
    let hash = |text: &str, inputs: PlanInputs| plan_with(text, inputs).unwrap().0.hash;
    let plain = hash(DIAMOND, inputs());
    assert_eq!(plain.len(), 64);
    let mut other = inputs();
    other.github["run_id"] = "r9".into();
    other.github["workspace"] = "/elsewhere".into();
    other.file = "x/slipway.yml".into();
    assert_eq!(hash(DIAMOND, other), plain);
    assert_eq!(hash(&DIAMOND.replace('\n', "\r\n"), inputs()), plain);
    assert_eq!(hash(&format!("# why\n{}", DIAMOND.replace("{needs: [b, c],", "{needs:  ['b', c],")), inputs()), plain);
    assert_ne!(hash(&DIAMOND.replace("[b, c]", "[c, b, a]"), inputs()), plain);
    let mut other = inputs();
    other.github["event"] = serde_json::json!({"head_commit": {"timestamp": "2026-01-01T00:00:00Z"}});
    assert_eq!(hash(DIAMOND, other), plain);
    let mut other = inputs();
    other.github["sha"] = "4567".into();
    assert_ne!(hash(DIAMOND, other), plain);
    assert_ne!(hash(&DIAMOND.replace("true", "false"), inputs()), plain);
}

#[test]
fn what_cannot_run_is_refused_by_name_unless_it_is_not_selected() {
    let text = "
on: push
jobs:
  a: {runs-on: x, steps: [{uses: 'actions/checkout@v4'}, {name: Node, uses: 'actions/setup-node@v4'}]}
  b: {uses: ./.github/workflows/x.yml}
  c: {runs-on: x, steps: [{run: 'true'}]}
";
    let diagnostics = plan_with(text, inputs()).unwrap_err();
    let errors: Vec<String> = messages(&diagnostics).into_iter().filter(|m| m.starts_with('E')).collect();
    assert_eq!(errors.len(), 2, "{errors:?}");
    assert!(errors[0].contains("step \"Node\" of \"a\" uses \"actions/setup-node@v4\""), "{errors:?}");
    assert!(errors[1].contains("reusable workflow"), "{errors:?}");
    let selection = Selection { stages: vec!["c".into()], ..Selection::default() };
    plan_with(text, PlanInputs { selection, ..inputs() }).unwrap();
}
