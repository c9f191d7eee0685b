// The whole page: state, keys, and the panels that share them.

import { useEffect, useMemo, useState } from "preact/hooks";
import { Crumbs } from "./panels/Crumbs";
import { Details } from "./panels/Details";
import { Flow } from "./panels/Flow";
import { Grids } from "./panels/Grids";
import { Head } from "./panels/Head";
import { Help } from "./panels/Help";
import { Input } from "./panels/Input";
import { LedgerPanel } from "./panels/Ledger";
import { Units } from "./panels/Units";
import { actionOf, isTyping } from "./keys";
import { fetchTrace, type Scene } from "./scene";
import { readState, writeState, type Change, type State } from "./state";
import { useTheme } from "./theme";
import { relevanceOf, traceOf } from "./values";
import type { View } from "./view";

export function App({ scene }: { scene: Scene }) {
  const [state, setState] = useState<State>(() => readState(location.hash, scene));
  const [hover, setHover] = useState<number | null>(null);
  const [help, setHelp] = useState(false);
  const [answer, setAnswer] = useState({ waiting: false, problem: "", count: 0 });
  const theme = useTheme();

  const change = (c: Change) => setState((s) => ({ ...s, ...c }));
  const trace = (node: number) =>
    setState((s) => (s.trail[s.trail.length - 1] === node ? s : { ...s, trail: [...s.trail, node] }));

  useEffect(() => history.replaceState(null, "", writeState(state)), [state]);
  useEffect(() => {
    const follow = () => setState(readState(location.hash, scene));
    addEventListener("hashchange", follow);
    return () => removeEventListener("hashchange", follow);
  }, []);
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      if (isTyping(event)) return;
      const act = actionOf(event, scene, state);
      if (!act) return;
      event.preventDefault();
      if (act === "help") setHelp(true);
      else if (act === "search") document.getElementById("search")?.focus();
      else change(act);
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, [state]);

  const node = state.trail[state.trail.length - 1];
  const traced = useMemo(() => traceOf(scene, state), [state, answer.count]);
  const missing = node !== undefined && traced === null;
  useEffect(() => {
    if (!missing || !scene.live) return;
    const wanted = [state.target, state.minus].filter((t) => t >= 0);
    const open = wanted.filter((t) => !scene.targets[t].traces.has(node));
    setAnswer((a) => ({ ...a, waiting: true, problem: "" }));
    Promise.all(open.map((t) => fetchTrace(scene, t, node))).then(
      () => setAnswer((a) => ({ waiting: false, problem: "", count: a.count + 1 })),
      (error) => setAnswer((a) => ({ ...a, waiting: false, problem: String(error.message) })),
    );
  }, [missing, node, state.target, state.minus]);

  const whole = useMemo(() => relevanceOf(scene, state), [state.target, state.minus]);
  const view: View = { scene, state, theme, whole, traced, hover, change, trace, setHover };
  return (
    <>
      <Head {...view} openHelp={() => setHelp(true)} />
      <Crumbs {...view} missing={missing} waiting={answer.waiting} problem={answer.problem} />
      <div class="panels">
        <Input {...view} />
        <Grids {...view} />
        <Units {...view} />
        <LedgerPanel {...view} />
        <Flow {...view} />
        <Details {...view} />
      </div>
      {help && <Help close={() => setHelp(false)} />}
    </>
  );
}
