<?php

declare(strict_types=1);

/**
 * Tells the browsers. The page must work without it, so a failure is logged and reported as false, never thrown.
 *
 * The RealtimeClient is cheap: its socket belongs to the PHP process and stays open from request to request.
 */
final class Live
{
    public function __construct(private RealtimeClient $realtime = new RealtimeClient()) {}

    /**
     * Where a channel stands. To be read before the state that goes along with it: what is published in between is then
     * shown twice, which the versions make harmless, instead of never.
     */
    public function position(string $channel): ?array
    {
        return $this->try(fn () => $this->realtime->position($channel)) ?: null;
    }

    /** To be called after the commit: a page that hears of a change may fetch it at once. */
    public function orderChanged(array $order): bool
    {
        return $this->try(function () use ($order): bool {
            $this->realtime->broadcast('board', $order, event: 'order');
            $this->realtime->broadcast(
                "orders.{$order['id']}",
                ['version' => $order['version'], 'status' => $order['status'], 'at' => $order['changed']],
                event: 'step',
            );
            return true;
        });
    }

    /** Only the window that started the job hears of it. */
    public function jobProgress(array $job): bool
    {
        return $this->try(fn () => $this->realtime->sendToConnection(
            $job['connection'],
            ['job' => $job['id'], 'percent' => $job['percent']],
            event: 'invoice',
        )) !== false;
    }

    /** @return mixed what the call returns, or false when it fails */
    private function try(callable $call): mixed
    {
        try {
            return $call();
        } catch (RealtimeException $error) {
            error_log('realtime: ' . $error->getMessage());
            return false;
        }
    }
}
