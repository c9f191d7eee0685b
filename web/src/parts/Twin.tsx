// The same numbers as a table, for readers who cannot see the colours.

export function Twin({ head, rows }: { head: string[]; rows: [string, string[]][] }) {
  const few = head.length * rows.length <= 1500;
  return (
    <details>
      <summary>as a table</summary>
      {few ? (
        <div class="scroll">
          <table>
            <tr>
              <th />
              {head.map((name) => (
                <th scope="col">
                  <bdi>{name}</bdi>
                </th>
              ))}
            </tr>
            {rows.map(([name, numbers]) => (
              <tr>
                <th scope="row">{name}</th>
                {numbers.map((n) => (
                  <td>{n}</td>
                ))}
              </tr>
            ))}
          </table>
        </div>
      ) : (
        <p class="quiet">{head.length * rows.length} numbers: too many for a table on this page.</p>
      )}
    </details>
  );
}
