from celery_jobtrack import Job


class SendEmail(Job):
    max_retries = 3

    def run(self):
        if self.get("fail_first", False) and self.attempt == 1:
            raise self.retry(exc=ConnectionError("mail server"), countdown=0)
        return f"{self.get('to')} {self.get('view', 'plain')}"
