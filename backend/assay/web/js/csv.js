// Comma-separated values (RFC 4180): rows {line, cells}. Line ends of any kind; empty lines are left out.
export const parseCsv = (text) => {
  const rows = [];
  let row = [];
  let cell = "";
  let quoted = false; // within quotes
  let line = 1;
  const ended = () => {
    row.push(cell);
    if (row.length > 1 || row[0] !== "") rows.push({ line, cells: row }); // `line`: where the row ends
    row = [];
    cell = "";
  };
  for (let i = 0; i < text.length; i += 1) {
    const char = text[i];
    if (quoted) {
      line += char === "\n" ? 1 : 0;
      if (char !== '"') cell += char;
      else if (text[i + 1] === '"') {
        cell += char;
        i += 1;
      } else quoted = false;
    } else if (char === '"' && cell === "") quoted = true;
    else if (char === ",") {
      row.push(cell);
      cell = "";
    } else if (char === "\n" || char === "\r") {
      if (char === "\r" && text[i + 1] === "\n") i += 1;
      ended();
      line += 1;
    } else cell += char;
  }
  if (quoted) throw new Error("The file ends within quotes: a quotation mark is not closed.");
  ended();
  return rows;
};
