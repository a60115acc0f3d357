//! A grammar of Luau programs.

use std::collections::HashMap;
use std::ops::Range;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::Union;

/// How deep productions nest.
const DEPTH: usize = 5;

/// What a symbol can become. `$symbol` in a production stands for another one. Where the nesting is as
/// deep as it may be, only productions without one are left. A failing program shrinks towards the first.
///
/// Comparators call no function that may yield: it can with our `table.sort`, and not with Luau's.
const GRAMMAR: &[(&str, &[&str])] = &[
    (
        "number",
        &[
            "1",
            "2",
            "-1",
            "0.5",
            "1e15",
            "n0",
            "n1",
            "n2",
            "n3",
            "#s0",
            "#t0",
            "(G or 0)",
            "(t0[2] or 0)",
            "number(o0.v)",
            "(coroutine.isyieldable() and 1 or 0)",
            "($number + $number)",
            "($number - $number)",
            "($number * $number)",
            "($number // 2)",
            "($number % 7)",
            "(- $number)",
            "(if $condition then $number else $number)",
            "#$text",
            "#$table",
            "($table[$number % 5] or 0)",
            "$function($number, $text)",
            "$function($number, $text)",
            "($object + $number)",
            "$object.field",
            "#$object",
            "(- $object)",
            "$object($number)",
            "number($generator())",
            "math.floor($number)",
            "math.max($number, $number)",
            "bit32.bxor($number, $number)",
            "(tonumber($text) or 1)",
            "(string.byte($text, $number) or 0)",
            "(string.find($text, $text, 1, true) or 0)",
            "(string.find($text, '%a+', $number) or 0)",
            "select('#', table.unpack($table, 1, 5))",
            "(table.find($table, $number) or 0)",
            "$mistake",
        ],
    ),
    ("mistake", &["t0[9].x", "#n0", "($table + $number)", "$table[$text].x", "#$number", "$object.v.x"]),
    (
        "text",
        &[
            "'a'",
            "'xyz'",
            "''",
            "'12'",
            "'b,1,c'",
            "s0",
            "s1",
            "coroutine.status(c0)",
            "cut($text .. $text)",
            "cut($object .. $text)",
            "tostring($number)",
            "tostring($object)",
            "cut(string.rep($text, $number % 4))",
            "string.sub($text, $number, $number)",
            "string.upper($text)",
            "string.reverse($text)",
            "string.format('%s=%.3g', $text, $number)",
            "cut(table.concat($table, ','))",
            "(string.split($text, ',')[2] or 'none')",
            "(string.match($text, '(%d+)') or 'no digits')",
            "cut((string.gsub($text, '%w', $rewriter)))",
            "cut((string.gsub($text, '.', { a = 'A', x = $text })))",
            "coroutine.status($coroutine)",
        ],
    ),
    (
        "condition",
        &[
            "true",
            "false",
            "n0 < n1",
            "s0 == s1",
            "$number < $number",
            "$number == $number",
            "$text <= $text",
            "not $condition",
            "($condition and $condition)",
            "($condition or $condition)",
            "$object < $object",
            "$object <= $object",
            "$object == $object",
            "(pcall($function, $number, $text))",
        ],
    ),
    (
        "table",
        &[
            "({})",
            "t0",
            "t1",
            "({ 5, 4, 3, 2, 1 })",
            "({ $number, $number, $number })",
            "({ $function($number, $text), $number })",
            "table.clone($table)",
            "table.pack($number, $number)",
            "table.move($table, 1, 3, $number % 3, {})",
            "table.create($number % 6, $number)",
        ],
    ),
    (
        "function",
        &["f0", "f1", "(function(n0, s0)\nenter()\n$block\nlocal r = $number\nleave()\nreturn r\nend)"],
    ),
    ("method", &["f1", "function(a, b)\nenter()\n$block\nlocal r = $number\nleave()\nreturn r\nend"]),
    (
        "predicate",
        &[
            "function() return n0 < n1 end",
            "function(a, b)\nenter()\n$block\nlocal r = $condition\nleave()\nreturn r\nend",
        ],
    ),
    (
        "rewriter",
        &["string.upper", "function(a, b)\nenter()\n$block\nlocal r = $text\nleave()\nreturn r\nend"],
    ),
    (
        "iterator",
        &[
            "function() return next, { 7 } end",
            "function()\nlocal i = 0\nreturn function()\nstep()\ni += 1\n$block\nif i < 4 then return i, $number end\nend\nend",
        ],
    ),
    (
        "object",
        &[
            "o0",
            "o1",
            "object({ __add = $method, __unm = $method })",
            "object({ __index = $method, __len = $method })",
            "object({ __call = $method, __index = { field = $number } })",
            "object({ __lt = $predicate, __eq = $predicate, __le = $predicate })",
            "object({ __tostring = $rewriter, __concat = $rewriter })",
            "object({ __iter = $iterator })",
            "object({ __newindex = function(o, k, x)\nenter()\n$block\nrawset(o, k, x)\nleave()\nend })",
        ],
    ),
    (
        "generator",
        &[
            "g0",
            "g1",
            "coroutine.wrap(function()\nstep()\n$block\ncoroutine.yield($number)\n$block\nend)",
            "coroutine.wrap(function()\nfor i = 1, 4 do\nstep()\n$block\ncoroutine.yield(i)\nend\nend)",
        ],
    ),
    (
        "coroutine",
        &[
            "c0",
            "c1",
            "coroutine.create(function(n0)\nstep()\n$block\nn0 = number(coroutine.yield($number))\n$block\nreturn $number\nend)",
        ],
    ),
    (
        "order",
        &[
            "a < b",
            "a > b",
            "a % 3 < b % 3",
            "a <= b",
            "a * n0 < b",
            "true",
            "false",
            "s0 < s1",
            "o1 == o0 or b < a",
            "o0 < o1 and a < b",
        ],
    ),
    (
        "failure",
        &[
            "error('failed')",
            "error($text)",
            "error($text, 2)",
            "error({ $number })",
            "assert($condition, $text)",
        ],
    ),
    (
        "part",
        &[
            "step()",
            "$statement",
            "local d = depth\nsay('part', pcall(function()\n$block\n$statement\n$block\nend))\ndepth = d",
            "local d = depth\nsay('part', pcall(function()\n$statement\n$block\nend))\ndepth = d",
            "local d = depth\nfor i = 1, 9 do\nsay('part', pcall(function()\n$statement\n$block\nend))\ndepth = d\nend",
        ],
    ),
    (
        "statement",
        &[
            "step()",
            "say(n0, n1, s0, #t1)",
            "n0 += 1",
            "n1, n2 = n2, n1",
            "s0 = cut(s0 .. s1)",
            "t0[#t0 + 1] = n1",
            "coroutine.yield(n0)",
            "n0 = $number",
            "n1 = $number",
            "local n2 = $number",
            "n3 += $number",
            "G = $number",
            "_G.math = { floor = $method, max = math.max }",
            "s0 = $text",
            "local s1 = $text",
            "t0 = $table",
            "local t1 = $table",
            "t1[$number % 5] = $number",
            "table.insert(t0, $number)",
            "table.insert(t0, 1, $number)",
            "table.remove(t0)",
            "f0 = $function",
            "local f1 = $function",
            "o0 = $object",
            "o1 = $object",
            "o0.v = $number",
            "g0 = $generator",
            "local g1 = $generator",
            "c0 = $coroutine",
            "local c1 = $coroutine",
            "say($number, $text)",
            "print($object, $number, $text)",
            "say($condition, $number)",
            "coroutine.yield($number)",
            "if $condition then\n$block\nelse\n$block\nend",
            "for n1 = 1, 4 do\nstep()\n$block\nend",
            "for n2 = 3, 1, -1 do\nstep()\n$block\nif $condition then break end\nend",
            "while $condition do\nstep()\n$block\nend",
            "repeat\nstep()\n$block\nuntil $condition",
            "for _, n1 in $table do\nstep()\n$block\nend",
            "for n1, n2 in $object do\nstep()\n$block\nend",
            "local d = depth\nfor n1 in $generator do\nstep()\ndepth = d\n$block\nend\ndepth = d",
            "local d = depth\nfor n1 in $generator do\nstep()\ndepth = d\n$block\nend\ndepth = d",
            "local d = depth\nsay('pcall', pcall(function()\n$block\nend))\ndepth = d",
            "local d = depth\nsay('pcall', pcall(function(n1)\n$block\nreturn $number\nend, $number))\ndepth = d",
            "local d = depth\nsay('xpcall', xpcall(function()\n$block\nend, function(e)\n$block\nreturn show(e) .. '!'\nend))\ndepth = d",
            "local d = depth\nsay('resume', coroutine.resume($coroutine, $number))\ndepth = d",
            "say('close', pcall(coroutine.close, $coroutine))",
            "local t = $table\ntable.sort(t, function(a, b)\nstep()\nreturn $order\nend)\nsay('sorted', table.concat(t, ' '))",
            "local d = depth\nsay('foreach', pcall(table.foreach, table.clone($table), $method))\ndepth = d",
            "local d = depth\nsay('matched', pcall(string.gsub, string.rep($text, 3), '(.-)(%w*)', $rewriter))\ndepth = d",
            "local t = $table\nfor _ in t do step() end\ntable.sort(t)\nsay('sorted', table.concat(t, ' '))",
            "$failure",
        ],
    ),
];

/// The statements of a program. It needs what `prelude.luau` defines.
pub fn program() -> BoxedStrategy<String> {
    let mut inner: Option<HashMap<&str, BoxedStrategy<String>>> = None;
    for _ in 0..=DEPTH {
        let mut level: HashMap<_, _> = GRAMMAR
            .iter()
            .map(|&(symbol, productions)| (symbol, choice(productions, inner.as_ref()).boxed()))
            .collect();
        level.insert("block", lines(&level["statement"], 0..4));
        inner = Some(level);
    }
    lines(&inner.expect("at least one level")["part"], 1..12)
}

fn choice(
    productions: &[&'static str],
    inner: Option<&HashMap<&str, BoxedStrategy<String>>>,
) -> Union<BoxedStrategy<String>> {
    let usable = productions.iter().filter(|production| inner.is_some() || !production.contains('$'));
    Union::new(usable.map(|production| match inner {
        Some(inner) if production.contains('$') => fill(production, inner),
        _ => Just((*production).to_owned()).boxed(),
    }))
}

/// A production with its symbols replaced by what they can become.
fn fill(production: &'static str, inner: &HashMap<&str, BoxedStrategy<String>>) -> BoxedStrategy<String> {
    let mut pieces = production.split('$');
    let mut parts = vec![Just(pieces.next().unwrap_or_default().to_owned()).boxed()];
    for piece in pieces {
        let (symbol, text) =
            piece.split_at(piece.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(piece.len()));
        let strategy = inner.get(symbol).unwrap_or_else(|| panic!("no ${symbol}, in {production}"));
        parts.extend([strategy.clone(), Just(text.to_owned()).boxed()]);
    }
    parts.prop_map(|texts| texts.concat()).boxed()
}

fn lines(statement: &BoxedStrategy<String>, count: Range<usize>) -> BoxedStrategy<String> {
    vec(statement.clone(), count).prop_map(|statements| statements.join("\n")).boxed()
}
