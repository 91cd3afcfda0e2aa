// The entry point: each part follows the selection, and what is selected must be shown before it is marked.

import * as choice from "elman/choice";
import * as colours from "elman/colours";
import * as controls from "elman/controls";
import * as equation from "elman/equation";
import * as marks from "elman/marks";
import * as matrix from "elman/matrix";
import * as pointer from "elman/pointer";
import * as readout from "elman/readout";
import * as theme from "elman/theme";

document.documentElement.classList.add("live");
for (const part of [choice, controls, marks, equation, colours, matrix, readout, pointer, theme]) part.start();
