// The list of papers: show those that hold all words, the status and the wing.
document.addEventListener("DOMContentLoaded", () => {
  const list = document.querySelector("ol.papers");
  if (!list) return;
  const [words, status, wing, found] = ["words", "status", "wing", "found"].map((id) => document.getElementById(id));
  const plain = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  const rows = [...list.children].map((row) => [row, plain(row.textContent)]);
  const show = () => {
    const wanted = plain(words.value).split(/\s+/).filter(Boolean);
    let count = 0;
    for (const [row, text] of rows) {
      const fits =
        (!status.value || row.dataset.status === status.value) &&
        (!wing.value || row.dataset.wing === wing.value) &&
        wanted.every((word) => text.includes(word));
      row.hidden = !fits;
      count += fits;
    }
    found.textContent = `${count} of ${rows.length}`;
  };
  for (const field of [words, status, wing]) field.addEventListener("input", show);
  show();
});
