// Light or dark: as the system is set, until the button is used.

export function start() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;
  document.getElementById("theme").addEventListener("click", () => {
    const now = root.dataset.theme ?? (dark.matches ? "dark" : "light");
    root.dataset.theme = now === "dark" ? "light" : "dark";
  });
}
