"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const text = getComputedStyle(document.body).color;
  const line = getComputedStyle(document.documentElement).getPropertyValue("--line");
  for (const name of ["median", "error"]) {
    const axis = { ticks: { color: text }, grid: { color: line } };
    new Chart(document.getElementById(name), {
      type: "line",
      data: {
        labels: data.runs,
        datasets: [{ data: data[name], borderColor: text, backgroundColor: text, spanGaps: false, pointRadius: 4, tension: 0 }],
      },
      options: {
        animation: false,
        maintainAspectRatio: false,
        plugins: { legend: { display: false } },
        scales: { x: axis, y: { ...axis, beginAtZero: true } },
      },
    });
  }
})();
