// Of the drawings and tables that exist once per place, parameter or gate, only the selected one is shown.

import { view } from "elman/data";
import { follow, selection } from "elman/selection";

export function start() {
  const chosen = [...document.querySelectorAll(".choice")];
  follow(["place", "what", "parameter"], () => {
    const now = { ...selection, place: view.places[selection.place].name };
    for (const { dataset, classList } of chosen) {
      const shown = ["place", "what", "parameter"].every(
        (key) => !(key in dataset) || dataset[key] === now[key],
      );
      classList.toggle("shown", shown);
    }
  });
}
