<?php

declare(strict_types=1);

// What the long job has made: an invoice to print.

require __DIR__ . '/../src/bootstrap.php';

$order = Board::open()->order((int) ($_GET['order'] ?? 0));
if ($order === null) {
    http_response_code(404);
    exit('There is no such order.');
}
$text = fn (string|int $value): string => htmlspecialchars((string) $value);
$money = fn (int $cents): string => '€ ' . number_format($cents / 100, 2);
header("Content-Security-Policy: default-src 'none'; style-src 'self'; img-src 'self'");
?>
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Invoice <?= $text($order['id']) ?></title>
<link rel="icon" href="icon.svg">
<link rel="stylesheet" href="style.css">
<main class="paper">
  <h1>Invoice <?= $text($order['id']) ?></h1>
  <p>Café Relay · for <?= $text($order['guest']) ?> · <?= date('j F Y', $order['created']) ?></p>
  <table>
<?php foreach ($order['items'] as $item): ?>
    <tr><td><?= $text($item['count']) ?> × <?= $text($item['name']) ?><td><?= $money($item['count'] * $item['price']) ?>
<?php endforeach ?>
    <tr><th>Total<th><?= $money($order['total']) ?>
  </table>
</main>
