// The playground: one text, one model or two side by side, as long as the server is there.

import { Column } from "elman/column";
import { ask, carry, Gone, Refused, start as watched, watch, whole } from "elman/server";
import * as theme from "elman/theme";

const box = document.getElementById("typed");
const state = document.getElementById("state");
const [login, token] = ["login", "token"].map((id) => document.getElementById(id));
const beside = document.getElementById("beside");
const columns = [...document.querySelectorAll("[data-column]")].map((root) => new Column(root, box));
const answers = document.getElementById("answers");
const { asks } = JSON.parse(document.getElementById("view").textContent);

document.documentElement.classList.add("live");
answers.hidden = true; // until it is known what there is
theme.start();
document.getElementById("theme").addEventListener("click", () => columns.forEach((one) => one.theme()));
box.addEventListener("input", () => columns.forEach((one) => one.refresh()));
box.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  columns.forEach((one) => one.look());
});
beside.addEventListener("click", () => {
  const two = columns[1].root.hidden;
  columns[1].root.hidden = !two;
  beside.setAttribute("aria-pressed", two);
  document.body.classList.toggle("two", two);
  if (!two) columns[1].stop();
  columns[1].refresh();
});
login.addEventListener("submit", (event) => {
  event.preventDefault();
  carry(token.value);
  token.value = "";
  begin();
});
addEventListener("pagehide", () => columns.forEach((one) => one.way?.close()));
watch((there) => {
  document.body.classList.toggle("away", !there);
  state.textContent = there ? "" : "The server does not answer. What you type is kept; it goes on when the server is back.";
  if (!there) columns.forEach((one) => one.way?.forget());
  else if (login.hidden) begin();
});
watched();
if (asks) login.hidden = false;
else begin();

/** Ask which models there are, and offer them. */
async function begin() {
  try {
    const { models } = await whole(await ask("GET", "v1/models"));
    login.hidden = true;
    state.textContent = "";
    answers.hidden = false;
    columns.forEach((one, i) => one.offer(models, i));
  } catch (problem) {
    if (problem instanceof Gone) return; // when it is back
    if (!(problem instanceof Refused)) throw problem;
    if (problem.status === 401) {
      login.hidden = false;
      state.textContent = "This is not the token of this server.";
      token.focus();
      return;
    }
    state.textContent = problem.message;
    setTimeout(begin, 1000 * (problem.seconds || 1));
  }
}
