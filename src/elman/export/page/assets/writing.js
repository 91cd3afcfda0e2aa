// A language model writes on where the text ends, token by token, until it is stopped.

const TURN = 12; // milliseconds of drawing before the page is shown again
const SHOWN = 250; // milliseconds between two looks inside

export function start(model, box, refresh) {
  const [write, back] = ["write", "back"].map((id) => document.getElementById(id));
  const number = (id) => Number(document.getElementById(id).value);
  let before = null; // the text that it wrote on from
  let running = null;

  write.addEventListener("click", () => {
    if (running) return stop();
    before = box.value;
    running = model.sample({
      prompt: box.value,
      tokens: Math.max(0, Math.floor(number("tokens"))),
      temperature: Math.max(0, number("temperature")),
      seed: Math.max(0, Math.floor(number("seed"))),
    });
    write.textContent = "Stop";
    box.readOnly = true;
    go(performance.now());
  });
  back.addEventListener("click", () => {
    stop();
    if (before !== null) box.value = before;
    before = null;
    back.disabled = true;
    refresh();
  });

  function go(shown) {
    const began = performance.now();
    let written = "";
    let done = false;
    while (!done && performance.now() - began < TURN) {
      const next = running.next();
      done = next.done;
      written += next.value ?? "";
    }
    box.value += written;
    box.scrollTop = box.scrollHeight;
    if (done) return stop();
    const late = performance.now() - shown > SHOWN;
    if (late) refresh();
    const sample = running;
    setTimeout(() => running === sample && go(late ? performance.now() : shown), 0);
  }

  function stop() {
    if (!running) return;
    running = null;
    write.textContent = "Write on";
    box.readOnly = false;
    back.disabled = false;
    refresh();
  }
}
