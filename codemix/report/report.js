// Sorts the tables of a page by a click on a header, and filters them by text. The page is complete without it.
(() => {
  'use strict';
  const FILTERED_FROM = 8; // units of a table: fewer are seen at once

  // A unit is what keeps together: an arm with its stages and seeds, or a line with the lines of seeds below it.
  function unitsOf(table) {
    const parts = [];
    for (const body of table.tBodies) {
      if (body.classList.contains('foot')) continue;
      const rows = [...body.rows];
      if (rows[0] && rows[0].classList.contains('group')) {
        const own = rows.filter(row => row.classList.contains('final'));
        const line = own.at(-1) || rows.filter(row => !row.matches('.group, .seed')).pop();
        // Arms are sorted among those of their model: a body with the heading of a model ends a part.
        const last = parts.at(-1);
        if (last && last.bodies) last.units.push({ nodes: [body], line, head: rows[0], rows });
        else parts.push({ bodies: true, units: [{ nodes: [body], line, head: rows[0], rows }] });
        continue;
      }
      const part = { units: [] };
      for (const row of rows) {
        if (row.matches('.model, .group')) continue;
        const last = part.units.at(-1);
        if (row.classList.contains('seed') && last) last.nodes.push(row), last.rows.push(row);
        else part.units.push({ nodes: [row], line: row, head: row, rows: [row] });
      }
      parts.push(part);
    }
    const filled = parts.filter(part => part.units.length);
    for (const part of filled) {
      // What is sorted is put back before this place, which does not move.
      part.end = document.createComment('');
      part.units.at(-1).nodes.at(-1).after(part.end);
    }
    return filled;
  }

  function textOf(cell) {
    const copy = cell.cloneNode(true);
    copy.querySelectorAll('small').forEach(small => small.remove());
    return copy.textContent.trim();
  }

  // A number, a text, or null for what is not known.
  function keyOf(unit, column) {
    const cell = (column ? unit.line : unit.head).cells[column];
    if (!cell) return null;
    if (cell.dataset.v !== undefined) return Number(cell.dataset.v);
    const text = textOf(cell);
    if (!text || text === '–') return null;
    const number = text.replace(/,/g, '').replace('−', '-').replace(/%$/, '');
    return /^[+-]?\d+(\.\d+)?$/.test(number) ? Number(number) : text;
  }

  const byText = new Intl.Collator('en', { numeric: true }).compare;
  function compare(a, b) {
    if (typeof a === 'number' && typeof b === 'number') return a - b;
    if (typeof a === typeof b) return byText(a, b);
    return typeof a === 'number' ? -1 : 1;
  }

  function order(parts, column, direction) {
    for (const part of parts) {
      const keyed = part.units.map((unit, place) => ({ unit, place, key: keyOf(unit, column) }));
      if (direction) {
        keyed.sort((a, b) => {
          if (a.key === null || b.key === null) return (a.key === null) - (b.key === null) || a.place - b.place;
          return direction * compare(a.key, b.key) || a.place - b.place;
        });
      }
      const nodes = keyed.flatMap(({ unit }) => unit.nodes);
      nodes.forEach(node => part.end.parentNode.insertBefore(node, part.end));
    }
  }

  function sortable(table, parts) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      if (!head.textContent.trim()) return;
      const button = document.createElement('button');
      button.type = 'button';
      button.append(...head.childNodes);
      head.append(button);
      head.setAttribute('aria-sort', 'none');
      button.addEventListener('click', () => {
        const next = { none: 'ascending', ascending: 'descending', descending: 'none' }[head.getAttribute('aria-sort')];
        heads.forEach(other => other.hasAttribute('aria-sort') && other.setAttribute('aria-sort', 'none'));
        head.setAttribute('aria-sort', next);
        order(parts, column, { none: 0, ascending: 1, descending: -1 }[next]);
      });
    });
  }

  function filterable(scroll, parts) {
    const units = parts.flatMap(part => part.units);
    if (units.length < FILTERED_FROM) return;
    const field = document.createElement('input');
    const count = document.createElement('output');
    const line = document.createElement('p');
    field.type = 'search';
    field.placeholder = 'Filter lines';
    field.setAttribute('aria-label', 'Filter the lines of the table: ' + scroll.getAttribute('aria-label').slice(0, 80));
    line.className = 'filter';
    line.append(field, count);
    scroll.before(line);
    const texts = units.map(unit => unit.rows.map(row => row.textContent).join(' ').toLowerCase());
    field.addEventListener('input', () => {
      const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      units.forEach((unit, number) => {
        const hidden = !words.every(word => texts[number].includes(word));
        unit.nodes.forEach(node => { node.hidden = hidden; });
        shown += !hidden;
      });
      count.textContent = words.length ? shown + ' of ' + units.length : '';
    });
  }

  for (const scroll of document.querySelectorAll('.scroll')) {
    const table = scroll.querySelector('table');
    if (!table || table.hasAttribute('data-fixed')) continue;
    const parts = unitsOf(table);
    if (!parts.some(part => part.units.length > 1)) continue;
    scroll.classList.add('sortable');
    sortable(table, parts);
    filterable(scroll, parts);
  }
})();
