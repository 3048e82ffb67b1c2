<?php

declare(strict_types=1);

// The page: an empty board. app.js fills it by AJAX and keeps it live.

require __DIR__ . '/../src/bootstrap.php';

// The browser reaches the realtime server on the page's own host, at the port that `make demo` has found free.
$host = preg_replace('~:\d+$~', '', $_SERVER['HTTP_HOST'] ?? 'localhost');
$port = (int) getenv('DEMO_REALTIME_PORT');
if (!preg_match('~^([\w.-]+|\[[0-9a-f:]+\])$~iD', $host)) {
    http_response_code(400);
    exit('Bad Host header.');
}
// Nothing but our own code runs here, and it talks to these two servers only.
header("Content-Security-Policy: default-src 'self'; img-src 'self' data:; script-src 'self' http://$host:$port;"
    . " connect-src 'self' http://$host:$port ws://$host:$port; frame-ancestors 'none'; base-uri 'none'; form-action 'none'");
header('Cache-Control: no-store');
?>
<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="color-scheme" content="light dark">
  <meta name="realtime" content="<?= htmlspecialchars("//$host:$port") ?>">
  <title>Orders · Café Relay</title>
  <link rel="icon" href="icon.svg">
  <link rel="stylesheet" href="style.css">
  <script type="module" src="app.js"></script>
</head>
<body>
  <header class="top">
    <div class="brand">
      <img src="icon.svg" alt="" width="36" height="36">
      <div>
        <h1>Café Relay</h1>
        <p>Live order board</p>
      </div>
    </div>
    <div id="viewers" class="viewers" hidden></div>
    <div id="light" class="light" data-state="connecting" role="status"><i></i><span>Connecting</span></div>
    <form id="add" class="add" autocomplete="off">
      <input name="guest" maxlength="40" placeholder="Name, or leave it to chance" aria-label="The guest's name">
      <button class="primary">New order</button>
    </form>
  </header>

  <p id="hint" class="hint">
    <span>Open this page in a <a href="./" target="_blank">second window</a> and change something here or there: both change at once.</span>
    <button type="button" aria-label="Dismiss">×</button>
  </p>

  <main id="board" class="board" aria-live="off"></main>

  <dialog id="details" class="details" aria-labelledby="details-title"></dialog>
  <div id="toast" class="toast" role="alert" hidden></div>
  <noscript>This page needs JavaScript.</noscript>
</body>
</html>
